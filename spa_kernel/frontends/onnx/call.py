"""One ONNX node, as those see it that say what it becomes in the standard graph."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import helper

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.places import place
from spa_kernel.frontends.onnx.rewrites import Want
from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.operators import OPERATORS
from spa_kernel.surgery.after import After


class Call:
    """A node with its operands.

    Parameters
    ----------
    capture : Captured
    index : int
        Position in the model's list of nodes.
    proto : onnx.NodeProto
    """

    def __init__(self, capture: Captured, index: int, proto: onnx.NodeProto) -> None:
        self.capture = capture
        self.index = index
        self.proto = proto
        self.name, self.source = place(proto)
        self.attributes = {a.name: a for a in proto.attribute}
        self._outputs: list[Value] | None = None

    @property
    def opset(self) -> int:
        return self.capture.opsets.get("", 1)

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute's value; text comes as str."""
        if name not in self.attributes:
            return default
        value = helper.get_attribute_value(self.attributes[name])
        return value.decode() if isinstance(value, bytes) else value

    def has(self, slot: int) -> bool:
        """Whether an optional operand is there."""
        return slot < len(self.proto.input) and bool(self.proto.input[slot])

    def literal(self, slot: int) -> np.ndarray | None:
        """The content of an operand, where it is known."""
        return self.capture.content(self.proto.input[slot]) if self.has(slot) else None

    def setting(self, name: str, slot: int) -> list[Any] | None:
        """A list that older operator sets keep in an attribute and newer ones in an operand."""
        if self.has(slot):
            content = self.literal(slot)
            return None if content is None else np.atleast_1d(content).tolist()
        value = self.attr(name)
        return None if value is None else list(value)

    def settled(self, *slots: int) -> bool:
        """Whether the content of all of these operands is known (or they are absent)."""
        return all(not self.has(s) or self.literal(s) is not None for s in slots)

    def data(self, slot: int) -> Value | None:
        """An operand that is computed with."""
        if not self.has(slot):
            return None
        name = self.proto.input[slot]
        value = self.capture.data(name)
        if value is not None and self.capture.computed(name):
            self.capture.constant_operand(self.index, slot, self.proto, value)
        return value

    def x(self, slot: int = 0) -> Value:
        """An operand that must be there."""
        value = self.data(slot)
        if value is None:
            raise CaptureError(f"{self.proto.op_type} in {self.name} lacks operand {slot}")
        return value

    def operands(self) -> tuple[Value | None, ...]:
        return tuple(self.data(slot) for slot in range(len(self.proto.input)))

    def shape(self, slot: int = 0) -> tuple[int, ...]:
        """An operand's shape, without making the operand a part of the graph."""
        if not self.has(slot):
            raise CaptureError(f"{self.proto.op_type} in {self.name} lacks operand {slot}")
        return self.capture.meta(self.proto.input[slot])[1]

    def uniform(self, slot: int) -> float | None:
        """The one number that fills an operand which the model computes for itself."""
        if not self.has(slot) or not self.capture.computed(self.proto.input[slot]):
            return None
        content = self.capture.known[self.proto.input[slot]]
        if (
            content.size == 0
            or content.dtype.kind not in "iuf"
            or (content != content.flat[0]).any()
        ):
            return None
        return float(content.flat[0])

    def affine(self, slot: int, neutral: float, axis: int = 1) -> Value | None:
        """A scale or bias along the output's axes from ``axis`` on.

        ``None`` if the model fills it with the neutral number itself: it ties nothing then.
        """
        if self.uniform(slot) != neutral:
            return self.data(slot)
        content, out = self.capture.known[self.proto.input[slot]], self.out

        def want(after: After) -> np.ndarray:
            cut = content
            for at, mask in after.losses(out).items():
                if at >= axis and at - axis < content.ndim and content.shape[at - axis] > 1:
                    cut = np.compress(mask, cut, axis=at - axis)
            return cut

        self.rewrite(slot, want)
        return None

    @property
    def outputs(self) -> list[Value]:
        """Values for the node's outputs, those that have a name."""
        if self._outputs is None:
            found = self.capture.infer(self.index)
            self._outputs = []
            for name in filter(None, self.proto.output):
                elem, shape = found[name]
                value = Value(name, shape, dtype=infer.dtype_name(elem))
                self.capture.define(name, value, elem)
                self._outputs.append(value)
        return self._outputs

    @property
    def out(self) -> Value:
        return self.outputs[0]

    def axis(self, default: int | None = None, ndim: int | None = None) -> int:
        """The attribute ``axis``, counted from the front."""
        axis = int(self.attr("axis", default))
        return axis % max(len(self.shape()) if ndim is None else ndim, 1)

    def emit(
        self,
        op: str,
        inputs: tuple[Value | None, ...],
        outputs: list[Value] | None = None,
        **attrs: Any,
    ) -> None:
        """Add an operator to the standard graph."""
        outputs = self.outputs if outputs is None else outputs
        node = Node(op, inputs, tuple(outputs), attrs, self.name, self.source)
        self.capture.emit(self.index, node)

    def rewrite(self, slot: int | str, want: Want) -> None:
        """Register what an operand or attribute must be after a prune."""
        self.capture.rewrite(self.index, slot, want)

    def unknown(self, op: str = "") -> None:
        """An operator that nobody has described, with everything it reads."""
        domain = self.proto.domain
        name = self.proto.op_type if domain in ("", "ai.onnx") else f"{domain}.{self.proto.op_type}"
        inputs: list[Value | None] = []
        for slot, operand in enumerate(self.proto.input):
            inputs.extend(self.capture.sequences.get(operand) or [self.data(slot)])
        for outer in infer.outer_names(self.proto):
            inputs.extend(self.capture.sequences.get(outer) or [self.capture.data(outer)])
        if name in OPERATORS and not infer.has_subgraph(self.proto):
            # Other front ends write it with other operands and attributes.
            name = f"{name} (as in ONNX)"
        self.emit(op or name, tuple(inputs))
