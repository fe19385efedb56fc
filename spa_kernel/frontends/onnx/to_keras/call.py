"""One node of an ONNX model: what its builder works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import onnx
from onnx import helper, numpy_helper

ops = keras.ops


class Unbuilt(Exception):
    """The node does something that its builder does not know."""


@dataclass(eq=False, slots=True)
class Value:
    """Numbers that are known, or a tensor with its axes as in ONNX, with channels last, or both.

    Attributes
    ----------
    array : numpy.ndarray, optional
        Numbers that no input has a part in.
    origin : hashable
        What they are made of, alike for what is made alike.
    weight : bool
        Whether they are made of stored tensors.
    first, last : KerasTensor, optional
        Channels are the second or the last axis.
    """

    array: np.ndarray | None = None
    origin: Any = None
    weight: bool = False
    first: Any = None
    last: Any = None

    @property
    def shape(self) -> tuple[Any, ...]:
        """As in ONNX; an axis that follows from the batch is ``None``."""
        if self.array is not None:
            return self.array.shape
        if self.first is not None:
            return tuple(self.first.shape)
        shape = tuple(self.last.shape)
        return (shape[0], shape[-1], *shape[1:-1])

    @property
    def dtype(self) -> str:
        content = (
            self.array if self.array is not None else (self.first, self.last)[self.first is None]
        )
        return str(content.dtype)


class Shared:
    """What all nodes of a model have in common."""

    def __init__(self) -> None:
        self.layers: dict[Any, Any] = {}
        """By what they do and which weights they have: one that is used twice is one layer."""
        self.names: set[str] = set()
        self.inputs: list[Any] = []
        self._zero: Any = None

    def layer(self, key: Any, make: Callable[[], Any], *weights: np.ndarray) -> Callable[..., Any]:
        """A layer with its weights, as a function of what it is called with."""

        def call(x: Any) -> Any:
            known = self.layers.get(key)
            if known is not None:
                return known(x)
            own = make()
            out = own(x)
            shapes = [tuple(v.shape) for v in own.weights]
            if shapes != [w.shape for w in weights]:
                raise Unbuilt(f"with weights of the shapes {[w.shape for w in weights]}")
            own.set_weights(list(weights))
            self.layers[key] = own
            return out

        return call

    def parameter(self, value: Value, array: np.ndarray) -> Any:
        """A stored tensor as a variable: the only row of a table that is always looked up."""
        if self._zero is None:
            some = ops.max(self.inputs[0])
            self._zero = ops.reshape(ops.zeros_like(some, dtype="int32"), (1,))
        row = array.reshape(1, -1)
        key = "parameter", value.origin, array.shape, array is value.array
        table = self.layer(key, lambda: keras.layers.Embedding(1, row.shape[1]), row)
        return ops.reshape(table(self._zero), array.shape)


class Call:
    """A node, its inputs, and what it has in common with others.

    Parameters
    ----------
    proto : onnx.NodeProto
    inputs : sequence of Value or None
    shared : Shared
    opset : int
    """

    def __init__(
        self, proto: onnx.NodeProto, inputs: Sequence[Value | None], shared: Shared, opset: int
    ) -> None:
        self.proto = proto
        self.inputs = list(inputs)
        self.shared = shared
        self.opset = opset
        self._attrs = {a.name: helper.get_attribute_value(a) for a in proto.attribute}

    def attr(self, name: str, default: Any = None) -> Any:
        value = self._attrs.get(name, default)
        if isinstance(value, onnx.TensorProto):
            return numpy_helper.to_array(value)
        return value.decode() if isinstance(value, bytes) else value

    def has(self, slot: int) -> bool:
        return slot < len(self.inputs) and self.inputs[slot] is not None

    def value(self, slot: int = 0) -> Value:
        found = self.inputs[slot] if slot < len(self.inputs) else None
        if found is None:
            raise Unbuilt
        return found

    def known(self, slot: int) -> np.ndarray:
        """Numbers that no input has a part in."""
        array = self.value(slot).array
        if array is None:
            raise Unbuilt(f"with an operand {self.proto.input[slot]!r} that is worked out")
        return array

    def setting(self, name: str, slot: int) -> Any:
        """An attribute that has become an operand later on; ``None`` where not given."""
        if name in self._attrs:
            return self.attr(name)
        return [n.item() for n in self.known(slot).reshape(-1)] if self.has(slot) else None

    @property
    def rank(self) -> int:
        return len(self.value().shape)

    def axis(self, default: int) -> int:
        return int(self.attr("axis", default)) % self.rank

    def first(self, slot: int = 0) -> Any:
        """A tensor with its axes as in ONNX."""
        held = self.value(slot)
        if held.array is not None:
            return self.shared.parameter(held, held.array) if trained(held) else number(held.array)
        if held.first is None:
            rank = len(held.shape)
            perm = rank - 1, *range(1, rank - 1)
            held.first = keras.layers.Permute(perm)(held.last) if rank > 2 else held.last
        return held.first

    def last(self, slot: int = 0) -> Any:
        """A tensor with its channels last."""
        held = self.value(slot)
        if held.last is None:
            rank = len(held.shape)
            turn = keras.layers.Permute((*range(2, rank), 1)) if rank > 2 else lambda x: x
            held.last = turn(self.first(slot))
        return held.last

    def elementwise(self, write: Callable[..., Any]) -> Value:
        """Work entry by entry, with channels last where all tensors have them there."""
        held = [value for value in self.inputs if value is not None]
        tensors = [value for value in held if value.array is None]
        rank = max(len(value.shape) for value in held)
        last = rank > 2 and all(v.last is not None and len(v.shape) == rank for v in tensors)
        given = []
        for slot, value in enumerate(self.inputs):
            if value is None:
                continue
            if not last:
                given.append(self.first(slot))
            elif value.array is None:
                given.append(value.last)
            else:
                array = value.array.reshape((1,) * (rank - value.array.ndim) + value.array.shape)
                array = np.moveaxis(array, 1, -1)
                given.append(self.shared.parameter(value, array) if trained(value) else array)
        out = write(*given)
        return Value(last=out) if last else Value(first=out)

    def layer(self, make: Callable[[], Any], *weights: np.ndarray) -> Callable[..., Any]:
        """A layer; the same one for another node with the same settings and stored tensors."""
        attrs = sorted(a.SerializeToString() for a in self.proto.attribute)
        origins = tuple(v.origin for v in self.inputs if v is not None and v.array is not None)
        key = (self.proto.op_type, tuple(attrs), origins, tuple(w.shape for w in weights))
        return self.shared.layer(key, make, *weights)


def number(array: np.ndarray) -> Any:
    """Numbers as Keras takes them, which saves a single one as what it is in Python."""
    return array.item() if array.ndim == 0 else array


def trained(value: Value) -> bool:
    """Whether numbers are a weight that is to become a variable."""
    array = value.array
    return array is not None and value.weight and array.dtype.kind == "f" and array.size > 1
