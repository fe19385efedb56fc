"""Tensors of the model that is being written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from spa_kernel.errors import SpaError
from spa_kernel.frontends.jax.export.sizes import Dim, Shape, Size, known
from spa_kernel.frontends.onnx.writer import Writer

LONG = np.dtype(np.int64)
END = 2**63 - 1


@dataclass(eq=False, slots=True)
class Tensor:
    """A tensor that nodes make, is stored, or is known already.

    Attributes
    ----------
    shape : tuple
        As it is in the ONNX model. In the jaxpr it may be broadcast to more.
    dtype : numpy.dtype
    name : str
        Empty as long as it need not be in the model.
    array : numpy.ndarray or None
        Content of what is known.
    made : tuple
        What it is, as far as that is of use to what reads it.
    """

    shape: Shape
    dtype: np.dtype[Any]
    name: str = ""
    array: np.ndarray | None = None
    made: tuple[Any, ...] = ("",)

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def number(self) -> Any:
        """The one number that it holds everywhere, or ``None``."""
        return None if self.array is None or self.array.size != 1 else self.array.item()

    @property
    def floats(self) -> bool:
        return self.dtype in (np.float32, np.float64, np.float16)


def constant(array: Any, dtype: Any = None) -> Tensor:
    """Known content."""
    content = np.asarray(array, dtype)
    return Tensor(content.shape, content.dtype, array=content)


class Sheet:
    """The model that is being written.

    Parameters
    ----------
    writer : Writer
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer
        self.place = ""
        self.batched = ""
        """An input whose first axis is the batch."""
        self._constants: dict[Any, str] = {}
        self._sizes: dict[Size, Tensor] = {}

    def name(self, tensor: Tensor) -> str:
        """What a tensor is called in the model; what is known is written there."""
        if tensor.made[0] == "Refused":
            raise tensor.made[1]
        if not tensor.name and tensor.array is None:
            raise SpaError(
                "the output depends on random numbers, which ONNX draws otherwise: the model is "
                "not written"
            )
        if not tensor.name:
            assert tensor.array is not None
            key = tensor.shape, tensor.array.dtype.str, tensor.array.tobytes()
            if key not in self._constants:
                self._constants[key] = self.writer.constant(tensor.array)
            tensor.name = self._constants[key]
        return tensor.name

    def nodes(
        self, op: str, inputs: Sequence[Tensor | None], outputs: Sequence[Tensor], **attrs: Any
    ) -> None:
        """Add an operator that makes tensors."""
        names = [None if t is None else self.name(t) for t in inputs]
        hint = f"{self.place}/{op}" if self.place else op
        made = self.writer.node(op, names, len(outputs), hint, **attrs)
        for tensor, name in zip(outputs, made, strict=True):
            tensor.name = name

    def node(
        self, op: str, inputs: Sequence[Tensor | None], shape: Shape, dtype: Any = None,
        made: tuple[Any, ...] = ("",), **attrs: Any,
    ) -> Tensor:  # fmt: skip
        """Add an operator that makes one tensor, of the type of its first operand."""
        first = inputs[0] if inputs else None
        kind = dtype if dtype is not None or first is None else first.dtype
        out = Tensor(tuple(shape), np.dtype(kind), made=made)
        self.nodes(op, inputs, [out], **attrs)
        return out

    def cast(self, x: Tensor, dtype: Any) -> Tensor:
        """The same numbers in another type."""
        from onnx import helper

        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        if x.array is not None:
            return constant(x.array.astype(dtype))
        return self.node("Cast", (x,), x.shape, dtype, to=helper.np_dtype_to_tensor_dtype(dtype))

    def transpose(self, x: Tensor, perm: Iterable[int]) -> Tensor:
        """Axes in another order; two turns are one."""
        order = tuple(int(i) for i in perm)
        if x.made[0] == "Transpose":
            _, x, before = x.made
            order = tuple(before[i] for i in order)
        if order == tuple(range(x.ndim)):
            return x
        if x.array is not None:
            return constant(x.array.transpose(order))
        shape = tuple(x.shape[i] for i in order)
        return self.node("Transpose", (x,), shape, made=("Transpose", x, order), perm=order)

    def reshape(self, x: Tensor, shape: Shape) -> Tensor:
        """The same entries in another shape."""
        if x.shape == shape:
            return x
        if x.array is not None:
            return constant(x.array.reshape(known(shape)))
        target: list[Dim] = list(shape)
        if 0 not in target and 0 not in x.shape:
            target = relative(x.shape, shape)
        operand = self.sizes(target)
        return self.node("Reshape", (x, operand), shape, made=("Reshape", x))

    def expand(self, x: Tensor, shape: Shape) -> Tensor:
        """As it is in the jaxpr, where it was not broadcast so far."""
        if x.shape == shape:
            return x
        if x.array is not None and not any(isinstance(n, Size) for n in shape):
            return constant(np.broadcast_to(x.array, known(shape)))
        if (1,) * (len(shape) - x.ndim) + x.shape == shape:
            return self.reshape(x, shape)
        return self.node("Expand", (x, self.sizes(shape)), shape)

    def slice(self, x: Tensor, axis: int, start: Any, stop: Any, shape: Shape, step: int = 1
              ) -> Tensor:  # fmt: skip
        """A stretch of an axis; where it starts and stops may be tensors of one entry."""
        places = [p if isinstance(p, Tensor) else constant([p], LONG) for p in (start, stop)]
        operands = (x, *places, constant([axis], LONG), constant([step], LONG))
        return self.node("Slice", operands, shape)

    def sizes(self, shape: Sequence[Dim]) -> Tensor:
        """A shape as a tensor."""
        if not any(isinstance(n, Size) for n in shape):
            return constant(shape, LONG)
        parts = [self.size(n) if isinstance(n, Size) else constant([n], LONG) for n in shape]
        return parts[0] if len(parts) == 1 else self.node("Concat", parts, (len(parts),), axis=0)

    def size(self, size: Size) -> Tensor:
        """A size as a tensor of one entry."""
        if size not in self._sizes:
            base = Tensor((), LONG, self.batched)
            found = self.node("Shape", (base,), (1,), LONG, start=0, end=1)
            if size.factor != 1:
                found = self.node("Mul", (found, constant([size.factor], LONG)), (1,))
            if size.offset:
                found = self.node("Add", (found, constant([size.offset], LONG)), (1,))
            self._sizes[size] = found
        return self._sizes[size]


def relative(before: Shape, after: Shape) -> list[Dim]:
    """What Reshape is told: 0 for an axis that stays, -1 for the one that follows."""
    target: list[Dim] = [
        0 if i < len(before) and before[i] == n and isinstance(n, Size) else n
        for i, n in enumerate(after)
    ]
    open_axes = [i for i, n in enumerate(target) if isinstance(n, Size)]
    if not open_axes:
        open_axes = [i for i, n in enumerate(target) if n not in (0, 1)]
    if len(open_axes) == 1:
        target[open_axes[0]] = -1
    return target


def total(shape: Shape) -> int:
    """How many entries there are."""
    return prod(known(shape))
