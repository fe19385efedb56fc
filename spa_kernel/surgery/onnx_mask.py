"""The masked original: removed indices are zero, and norms only see those that stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.quantised import along
from spa_kernel.frontends.onnx.run import Light
from spa_kernel.frontends.onnx.tensors import Tensors, constant_node
from spa_kernel.graph.ir import Node, Value
from spa_kernel.surgery.after import After
from spa_kernel.surgery.onnx import tensor

NORMALISED = {
    "LayerNormalization": lambda node: node.attrs["axis"],
    "RMSNormalization": lambda node: node.attrs["axis"],
    "GroupNormalization": lambda node: 1,
    "InstanceNormalization": lambda node: 2,
}
"""The first axis that each norm takes statistics over."""


def masked(captured: Captured, base: onnx.ModelProto, after: After) -> Light:
    """A copy of the model that computes what the pruned one has to.

    Its sizes are those of the original. All stored tensors are zero at the removed indices.
    A norm that loses entries is computed over those that stay.
    """
    light = Light.of(base)
    model, tensors = light.model, Tensors(light.model)
    for name, value in captured.graph.stored.items():
        losses = after.losses(value)
        if not losses:
            continue
        content = (light.weights[name] if name in light.weights else tensors.array(name)).copy()
        zero = zero_points(captured, tensors, name, content, after)
        for axis, mask in losses.items():
            gone = (slice(None),) * axis + (~mask,)
            content[gone] = 0 if zero is None else zero[gone]
        if name in light.weights:
            light.weights[name] = content
        elif name in tensors.initializers:
            item = model.graph.initializer[tensors.initializers[name]]
            item.CopyFrom(tensor(item, content))
        else:
            node = model.graph.node[tensors.constants[name]]
            node.CopyFrom(constant_node(node, content))
    norms = {
        i: node
        for node, i in captured.origin.items()
        if node.op in NORMALISED
        and any(axis >= NORMALISED[node.op](node) for axis in after.losses(node.outputs[0]))
    }
    if norms:
        nodes: list[onnx.NodeProto] = []
        for i, proto in enumerate(model.graph.node):
            nodes.extend(Norm(norms[i], proto, model, after).nodes() if i in norms else [proto])
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)
    return light


def zero_points(
    captured: Captured, tensors: Tensors, name: str, content: np.ndarray, after: After
) -> np.ndarray | None:
    """What stands for zero in each entry of a weight of whole numbers, if that is not 0."""
    item = captured.quantised.get(name)
    if item is None or not item.zero:
        return None
    points = tensors.array(item.zero).copy()
    value = captured.graph.stored.get(item.zero)
    for axis, mask in (after.losses(value) if value is not None else {}).items():
        points[(slice(None),) * axis + (~mask,)] = 0
    table = along(points, content.shape, item.axis)
    return None if table is None else np.broadcast_to(table, content.shape)


class Norm:
    """Nodes that compute a norm over the entries that stay, with zeros for those that go."""

    def __init__(
        self, node: Node, proto: onnx.NodeProto, model: onnx.ModelProto, after: After
    ) -> None:
        self.node = node
        self.proto = proto
        self.model = model
        self.after = after
        self.opset = max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
        self.made: list[onnx.NodeProto] = []

    def nodes(self) -> list[onnx.NodeProto]:
        out, proto = self.node.outputs[0], onnx.NodeProto()
        proto.CopyFrom(self.proto)
        for slot, name in enumerate(self.proto.input):
            value = self.node.inputs[slot]
            if not name:
                continue
            losses = self.after.losses(value) if value is not None else self._channels(out)
            for axis, mask in losses.items():
                index = self._store(np.flatnonzero(mask))
                name = self._make("Gather", [name, index], axis=axis)
            proto.input[slot] = name
        if "groups" in self.node.attrs:
            groups = self.after.size(self.node.attrs["groups"], 0)
            for attribute in proto.attribute:
                if attribute.name == "num_groups":
                    attribute.i = groups
        name = proto.output[0] = f"{self.proto.output[0]}_kept"
        self.made.append(proto)
        for axis, mask in self.after.losses(out).items():
            name = self._spread(name, axis, out.ndim, mask)
        self.made[-1].output[0] = self.proto.output[0]
        return self.made

    def _channels(self, out: Value) -> dict[int, np.ndarray]:
        """For a scale or bias that is left out of the graph because it does nothing."""
        first = self.node.attrs.get("axis", 1)
        last = out.ndim if "axis" in self.node.attrs else 2
        losses = self.after.losses(out)
        return {axis - first: mask for axis, mask in losses.items() if first <= axis < last}

    def _spread(self, name: str, axis: int, ndim: int, mask: np.ndarray) -> str:
        """Back to the original size: a zero is appended and taken for all removed indices."""
        pads = [0] * (2 * ndim)
        pads[ndim + axis] = 1
        if self.opset >= 11:
            padded = self._make("Pad", [name, self._store(np.array(pads, np.int64))])
        else:
            padded = self._make("Pad", [name], pads=pads)
        where = np.where(mask, np.cumsum(mask) - 1, mask.sum())
        return self._make("Gather", [padded, self._store(where)], axis=axis)

    def _make(self, op: str, inputs: list[str], **attrs: Any) -> str:
        name = f"{self.proto.output[0]}_masked{len(self.made)}"
        self.made.append(helper.make_node(op, inputs, [name], **attrs))
        return name

    def _store(self, content: np.ndarray) -> str:
        name = f"{self.proto.output[0]}_index{len(self.model.graph.initializer)}"
        self.model.graph.initializer.append(numpy_helper.from_array(content.astype(np.int64), name))
        return name
