"""Remove channels from an ONNX model: cut its tensors, and rewrite what fixes their sizes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_kernel.errors import SpaError
from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.rewrites import Rewrite
from spa_kernel.frontends.onnx.tensors import Tensors, constant_node
from spa_kernel.surgery.after import After
from spa_kernel.surgery.onnx_edits import Splice, field_of
from spa_kernel.surgery.onnx_values import Recomputed

FILLS = {"ConstantOfShape": 0, "Expand": 1}
"""Operators that fill a shape, and the operand that states it."""
MOVES = frozenset(
    "Expand Slice Reshape Transpose Squeeze Unsqueeze Gather Tile Identity Cast".split()
)
"""Operators whose results hold nothing but entries of their first operand."""

Use = tuple[int, int]
"""Node position and operand position; (-1, -1) for any other kind of use."""


class Surgeon:
    """Works out the edits of one prune; nothing is changed until they are made.

    Parameters
    ----------
    captured : Captured
    base : onnx.ModelProto
        The model with its functions written out: its weights as they are now.
    after : After
    """

    def __init__(self, captured: Captured, base: onnx.ModelProto, after: After) -> None:
        self.captured = captured
        self.base = base
        self.after = after
        self.tensors = Tensors(base)
        self.cut: dict[str, np.ndarray] = {}
        self.added: dict[str, np.ndarray] = {}
        self.nodes: dict[int, onnx.NodeProto] = {}
        self.before: dict[int, list[onnx.NodeProto]] = defaultdict(list)
        self._copies: dict[tuple[str, bytes], str] = {}
        self._names: set[str] = set()

    def splices(self) -> list[Splice]:
        """All edits, from the last position to the first, so that positions stay valid."""
        for name, value in self.captured.graph.stored.items():
            if self.after.losses(value):
                self.cut[name] = self.after.cut(value, self.tensors.array(name))
        self.now = Recomputed(self.captured, self.after, self.cut)
        self._rewrite()
        return [*self._initializers(), *self._nodes(), *self._infos()]

    def node(self, position: int) -> onnx.NodeProto:
        """A node that may be changed."""
        if position not in self.nodes:
            self.nodes[position] = onnx.NodeProto()
            self.nodes[position].CopyFrom(self.base.graph.node[position])
        return self.nodes[position]

    def _rewrite(self) -> None:
        needed: dict[str, list[tuple[Rewrite, int, np.ndarray]]] = defaultdict(list)
        for rewrite in self.captured.rewrites:
            wanted = rewrite.want(self.after)
            if wanted is None:
                continue
            if isinstance(rewrite.slot, str):
                self._attribute(rewrite, wanted)
                continue
            inputs = self.base.graph.node[rewrite.node].input
            name = inputs[rewrite.slot] if rewrite.slot < len(inputs) else ""
            present = self.now.content(name) if name else None
            wanted = np.asarray(wanted)
            if name:
                wanted = wanted.astype(self.captured.known[name].dtype, copy=False)
            if present is None or not np.array_equal(present, wanted):
                needed[name].append((rewrite, rewrite.slot, wanted))
        for name, requests in needed.items():
            self._contents(name, requests)

    def _attribute(self, rewrite: Rewrite, wanted: np.ndarray | int | float) -> None:
        name = str(rewrite.slot)
        node = self.base.graph.node[rewrite.node]
        new = [int(v) for v in wanted] if isinstance(wanted, np.ndarray) else wanted
        old = [a for a in node.attribute if a.name == name]
        if old and helper.get_attribute_value(old[0]) == new:
            return
        node = self.node(rewrite.node)
        kept = [a for a in node.attribute if a.name != name]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute(name, new)])

    def _contents(self, name: str, requests: list[tuple[Rewrite, int, np.ndarray]]) -> None:
        """Give operands that have one name their new contents."""
        first = requests[0][2]
        alike = all(np.array_equal(wanted, first) for _, _, wanted in requests)
        if name in self.tensors and name not in self.cut and alike:
            uses = {(rewrite.node, slot) for rewrite, slot, _ in requests}
            if uses == self.uses.get(name, set()):
                self.cut[name] = first
                return
        for rewrite, slot, wanted in requests:
            if name in self.captured.steps:
                self._computed(name, rewrite, slot, wanted)
            else:
                self._point(rewrite.node, slot, self._own_copy(name, rewrite, wanted))

    @property
    def uses(self) -> dict[str, set[Use]]:
        """Where each name is read."""
        if not hasattr(self, "_uses"):
            self._uses: dict[str, set[Use]] = defaultdict(set)
            for i, node in enumerate(self.base.graph.node):
                for slot, name in enumerate(node.input):
                    self._uses[name].add((i, slot))
                for name in infer.outer_names(node):
                    self._uses[name].add((-1, -1))
            for info in self.base.graph.output:
                self._uses[info.name].add((-1, -1))
        return self._uses

    def _own_copy(self, name: str, rewrite: Rewrite, wanted: np.ndarray) -> str:
        """A new stored tensor; operands with the same old name and new content share it."""
        key = (name, wanted.tobytes())
        if key not in self._copies:
            stem = name or self.base.graph.node[rewrite.node].output[0] + "_size"
            self._copies[key] = self._add(stem, wanted)
        return self._copies[key]

    def _add(self, stem: str, content: np.ndarray) -> str:
        if not self._names:
            self._names.update(self.uses)
            self._names.update(o for n in self.base.graph.node for o in n.output)
            self._names.update(t.name for t in self.base.graph.initializer)
        stem = stem if stem.endswith("_pruned") else f"{stem}_pruned"
        name, number = stem, 1
        while name in self._names:
            number += 1
            name = f"{stem}{number}"
        self._names.add(name)
        self.added[name] = content
        return name

    def _point(self, position: int, slot: int, name: str) -> None:
        node = self.node(position)
        node.input.extend([""] * (slot + 1 - len(node.input)))
        node.input[slot] = name
        if node.op_type == "Split":
            kept = [a for a in node.attribute if a.name != "num_outputs"]
            del node.attribute[:]
            node.attribute.extend(kept)

    def _computed(self, name: str, rewrite: Rewrite, slot: int, wanted: np.ndarray) -> None:
        """Replace what nodes compute; entries that are right stay as free as they were."""
        if not self.captured.free(name) or wanted.size == 1:
            self._point(rewrite.node, slot, self._own_copy(name, rewrite, wanted))
            return
        base, patch = name, None
        producer = self.base.graph.node[self.captured.steps[name]]
        if (
            producer.op_type == "Where"
            and {*producer.input[:2]} <= self.tensors.initializers.keys()
        ):
            # An earlier prune was here: change its patch instead of adding another one.
            patch, base = producer, producer.input[2]
        if self._one_number(name) and wanted.size:
            self._filled(name, rewrite, slot, wanted)
            return
        present = self.now.content(base)
        if present is None or present.shape != wanted.shape or wanted.dtype.kind != "i":
            raise SpaError(
                f"{rewrite.where}: its operand {name!r} is computed from sizes that are known only "
                "when the model runs. Give the model's inputs fixed sizes, or leave this group out"
            )
        mask = present != wanted
        if patch is not None and self.uses[name] == {(rewrite.node, slot)}:
            self.cut[patch.input[0]], self.cut[patch.input[1]] = mask, wanted
            return
        new = helper.make_node(
            "Where",
            [self._add(f"{base}_mask", mask), self._add(f"{base}_sizes", wanted), base],
            [self._add_name(base)],
        )
        self.before[rewrite.node].append(new)
        self._point(rewrite.node, slot, new.output[0])

    def _one_number(self, name: str) -> bool:
        """Whether a value holds the same number everywhere, whatever its shape will be."""
        if name in self.tensors:
            content = self.now.content(name)
            return content is not None and bool((content.ravel()[:1] == content).all())
        if name not in self.captured.steps:
            return False
        producer = self.base.graph.node[self.captured.steps[name]]
        if producer.op_type == "ConstantOfShape":
            return True
        return producer.op_type in MOVES and self._one_number(producer.input[0])

    def _filled(self, name: str, rewrite: Rewrite, slot: int, wanted: np.ndarray) -> None:
        """Make what is one number throughout in another shape, as free as it was."""
        producer = self.base.graph.node[self.captured.steps[name]]
        sizes, present = np.array(wanted.shape, np.int64), self.now.shape(name)
        at = FILLS.get(producer.op_type)
        fill = self.now.content(producer.input[0])
        if producer.op_type == "Expand" and (fill is None or fill.size != 1):
            at = None
        if at is not None:
            shape = self.now.content(producer.input[at])
            present = None if shape is None else tuple(shape)
        if present is None or len(present) != len(sizes):
            raise SpaError(
                f"{rewrite.where}: {name!r} is of a shape that is known only when "
                "the model runs. Give the model's inputs fixed sizes, or leave this group out"
            )
        if at is not None:
            new = onnx.NodeProto()
            new.CopyFrom(producer)
            new.name, shape_name = "", producer.input[at]
        else:
            shape_name = self._add_name(f"{name}_shape")
            self.before[rewrite.node].append(helper.make_node("Shape", [name], [shape_name]))
            number = self._add(f"{name}_number", wanted.reshape(-1)[:1].reshape(()))
            new = helper.make_node("Expand", [number, ""], [""])
            at = FILLS["Expand"]
        mask = [
            self._add(f"{shape_name}_mask", np.array(present) != sizes),
            self._add(f"{shape_name}_sizes", sizes),
        ]
        new.output[0] = self._add_name(name)
        new.input[at] = self._add_name(shape_name)
        where = helper.make_node("Where", [*mask, shape_name], [new.input[at]])
        self.before[rewrite.node] += [where, new]
        self._point(rewrite.node, slot, new.output[0])

    def _add_name(self, stem: str) -> str:
        name = self._add(stem, np.empty(0))
        del self.added[name]
        return name

    def _initializers(self) -> list[Splice]:
        items = self.base.graph.initializer
        splices = [
            Splice("graph.initializer", i, 1, [tensor(items[i], self.cut[name])])
            for name, i in self.tensors.initializers.items()
            if name in self.cut
        ]
        new = [numpy_helper.from_array(content, name) for name, content in self.added.items()]
        return [*splices, Splice("graph.initializer", len(items), 0, new)] if new else splices

    def _nodes(self) -> list[Splice]:
        for name, i in self.tensors.constants.items():
            if name in self.cut:
                self.nodes[i] = constant_node(self.base.graph.node[i], self.cut[name])
        return [
            Splice("graph.node", i, 1, [*self.before.get(i, []), self.node(i)])
            for i in sorted({*self.nodes, *self.before}, reverse=True)
        ]

    def _infos(self) -> list[Splice]:
        splices = []
        for field in ("input", "value_info"):
            for i, info in enumerate(getattr(self.base.graph, field)):
                if field == "input" and info.name not in self.tensors.initializers:
                    continue
                shape = self.now.shape(info.name)
                new = None if shape is None else resized(info, shape)
                if new is not None:
                    splices.append(Splice(f"graph.{field}", i, 1, [new]))
        return splices


def tensor(old: onnx.TensorProto, content: np.ndarray) -> onnx.TensorProto:
    """A stored tensor with other content."""
    new = numpy_helper.from_array(content, old.name)
    if old.HasField("doc_string"):
        new.doc_string = old.doc_string
    new.metadata_props.extend(old.metadata_props)
    return new


def contents(model: onnx.ModelProto, arrays: Mapping[str, np.ndarray]) -> list[Splice]:
    """Edits that give stored tensors other content of the same shapes."""
    tensors, graph = Tensors(model), model.graph
    splices = []
    for name, array in arrays.items():
        if name in tensors.initializers:
            i = tensors.initializers[name]
            new = tensor(graph.initializer[i], array)
            splices.append(Splice("graph.initializer", i, 1, [new]))
        else:
            i = tensors.constants[name]
            splices.append(Splice("graph.node", i, 1, [constant_node(graph.node[i], array)]))
    return splices


def resized(info: onnx.ValueInfoProto, shape: tuple[int, ...]) -> onnx.ValueInfoProto | None:
    """The description of a value with new sizes; ``None`` if the old one fits."""
    dims = info.type.tensor_type.shape.dim
    wrong = [
        axis
        for axis, dim in enumerate(dims)
        if len(dims) == len(shape)
        and dim.HasField("dim_value")
        and dim.dim_value >= 0
        and dim.dim_value != shape[axis]
    ]
    if not wrong:
        return None
    new = onnx.ValueInfoProto()
    new.CopyFrom(info)
    for axis in wrong:
        new.type.tensor_type.shape.dim[axis].dim_value = shape[axis]
    return new


def written_out(model: onnx.ModelProto, base: onnx.ModelProto) -> list[Splice]:
    """Edits that put a model's functions where they are called."""
    return [
        Splice(field, 0, len(field_of(model, field)), list(field_of(base, field)))
        for field in ("graph.node", "graph.value_info", "functions", "opset_import")
    ]
