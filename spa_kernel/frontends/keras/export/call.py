"""One call of a layer: what its writer works with."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from onnx import helper

from spa_kernel.frontends.keras.called import Called
from spa_kernel.frontends.keras.capture import unset
from spa_kernel.frontends.onnx.writer import Writer


class Unwritten(Exception):
    """The call does something that its writer does not know."""


@dataclass(eq=False, slots=True)
class Tensor:
    """The name of a tensor as Keras has it, of the same with channels in front, or both.

    ``real`` is a symbolic tensor with the sizes that the example gives, and the batch free.
    """

    real: Any
    plain: str | None = None
    front: str | None = None

    def as_keras(self, writer: Writer, place: str) -> str:
        if self.plain is None:
            rank = len(self.real.shape)
            self.plain = turned(writer, self.front, (0, *range(2, rank), 1), place)
        return self.plain

    def in_front(self, writer: Writer, place: str) -> str:
        if self.front is None:
            rank = len(self.real.shape)
            self.front = turned(writer, self.plain, (0, rank - 1, *range(1, rank - 1)), place)
        return self.front


def turned(writer: Writer, value: str | None, perm: Sequence[int], place: str) -> str:
    """A value with its axes in another order."""
    assert value is not None
    if list(perm) == sorted(perm):
        return value
    (made,) = writer.node("Transpose", [value], hint=f"{place}.Transpose", perm=perm)
    return made


class Call(Called):
    """A layer or operation, what it is called with, and what that makes; writes nodes.

    Parameters
    ----------
    writer : Writer
    names : mapping of int to str
        Of the model's variables, by identity.
    layer : keras.Layer or keras.Operation
    name : str
        Where it stands in the model.
    arguments : SymbolicArguments
    inputs : sequence of Tensor
        Tensors among the arguments, in order.
    reals : sequence of tensors
        Outputs.
    """

    def __init__(
        self,
        writer: Writer,
        names: Mapping[int, str],
        layer: Any,
        name: str,
        arguments: Any,
        inputs: Sequence[Tensor],
        reals: Sequence[Any],
    ) -> None:
        self.writer = writer
        self.layer = layer
        self.name = name
        self.inputs = list(inputs)
        self.reals = list(reals)
        self._names = names
        self._places = {id(t): at for at, t in enumerate(arguments.keras_tensors)}
        signature = inspect.signature(layer.call)
        bound = signature.bind(*arguments.args, **arguments.kwargs)
        bound.apply_defaults()
        self.given: dict[str, Any] = dict(bound.arguments)
        """Arguments by name."""
        self._defaults = {name: p.default for name, p in signature.parameters.items()}

    def check_arguments(self, reads: Sequence[str]) -> None:
        """Raise `Unwritten` where something is passed beside the first argument and ``reads``."""
        for name, value in list(self.given.items())[1:]:
            default = self._defaults[name]
            plain = isinstance(value, bool | int | float | str) and value == default
            if name not in reads and not (unset(value) or value == {} or plain):
                raise Unwritten(f"with {name}")

    @property
    def shape(self) -> tuple[int | None, ...]:
        """Of the first output, as Keras has it; ``None`` where it follows from the batch."""
        return tuple(self.reals[0].shape)

    @property
    def dtype(self) -> str:
        """Of the first output."""
        return str(self.reals[0].dtype)

    @property
    def image_shape(self) -> tuple[Any, ...]:
        """Of the first input with its channels in front."""
        shape = tuple(self.inputs[0].real.shape)
        return (shape[0], shape[-1], *shape[1:-1]) if self.last else shape

    def node(self, op: str, *inputs: str | None, **attrs: Any) -> str:
        """Write an operator with one output; its name."""
        (made,) = self.writer.node(op, inputs, hint=f"{self.name}.{op}", **attrs)
        return made

    def constant(self, content: Any, dtype: Any = None) -> str:
        """Numbers, by default of the type of the first output."""
        return self.writer.constant(content, dtype or np.dtype(self.dtype), f"{self.name}.constant")

    def weight(self, variable: Any) -> str:
        return self._names[id(variable)]

    def cast(self, value: str, dtype: str) -> str:
        return self.node("Cast", value, to=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    def place(self, value: Any) -> int:
        """Which of the inputs a symbolic tensor is."""
        if id(value) not in self._places:
            raise Unwritten
        return self._places[id(value)]

    def raw(self, at: int = 0) -> str:
        """An input with its axes and its type as Keras has them."""
        return self.inputs[at].as_keras(self.writer, self.name)

    def plain(self, at: int = 0) -> str:
        """An input with its axes as Keras has them, in the type that is calculated with."""
        return self._typed(self.raw(at), at)

    def front(self, at: int = 0) -> str:
        """An input whose last axis has become its second one."""
        return self._typed(self.inputs[at].in_front(self.writer, self.name), at)

    def _typed(self, value: str, at: int) -> str:
        """Layers calculate in the type of what they make, where that is no whole number."""
        wanted = self.dtype
        if not wanted.startswith("float") or self.inputs[at].real.dtype == wanted:
            return value
        return self.cast(value, wanted)

    def image(self) -> str:
        """The first input with its channels in front."""
        return self.front() if self.last else self.plain()

    def operand(self, value: Any) -> str:
        """An argument that is a tensor, a variable of the model, or made of numbers."""
        if isinstance(value, keras.KerasTensor):
            return self.plain(self.place(value))
        if id(value) in self._names:
            return self._names[id(value)]
        return self.constant(numbers(value))

    def made(self, value: str, front: bool = False) -> list[Tensor]:
        """The only output."""
        real = self.reals[0]
        if len(self.reals) > 1:
            raise Unwritten
        # A matrix is the same either way.
        if len(real.shape) < 3:
            return [Tensor(real, value, value)]
        return [Tensor(real, front=value) if front else Tensor(real, value)]

    def drawn(self, value: str) -> list[Tensor]:
        """The only output, an image with its channels in front."""
        return self.made(value, self.last)

    def elementwise(self, write: Callable[[list[str]], str]) -> list[Tensor]:
        """Work entry by entry, with channels in front where all operands have them there."""
        rank, count = len(self.shape), range(len(self.inputs))
        alike = all(len(held.real.shape) == rank > 2 for held in self.inputs)
        front = alike and all(held.front is not None for held in self.inputs)
        found = [self.front(at) if front else self.plain(at) for at in count]
        return self.made(write(found), front)

    def reshaped(self, value: str, shape: Sequence[int | None]) -> str:
        """A tensor in another shape, of which one size may follow from the others."""
        sizes = [-1 if n is None else n for n in shape]
        if sizes.count(-1) > 1 or 0 in sizes:
            raise Unwritten("makes a shape of which several sizes are not known")
        return self.node("Reshape", value, self.constant(sizes, np.int64))


def numbers(value: Any) -> np.ndarray:
    """An argument that is no symbolic tensor."""
    if isinstance(value, bool | int | float | np.ndarray | np.generic):
        return np.asarray(value)
    if keras.ops.is_tensor(value):
        return np.asarray(keras.ops.convert_to_numpy(value))
    raise Unwritten
