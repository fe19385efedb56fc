"""One call of a layer: what its converter works with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras

from spa_kernel.frontends.keras.called import Called
from spa_kernel.frontends.keras.capture import Captured, Edit, Held
from spa_kernel.graph.ir import Value

ACTIVATIONS = {
    "relu": "Relu",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "elu": "Elu",
    "selu": "Selu",
    "celu": "Celu",
    "gelu": "Gelu",
    "silu": "Silu",
    "mish": "Mish",
    "leaky_relu": "LeakyRelu",
    "softplus": "Softplus",
    "softsign": "Softsign",
    "exponential": "Exp",
    "hard_sigmoid": "HardSigmoid",
    "hard_silu": "HardSwish",
    "log_sigmoid": "LogSigmoid",
}
"""Functions of `keras.activations` that work entry by entry, and their operators."""


class Opaque(Exception):
    """The call does something that its converter does not know."""


class Call(Called):
    """A layer, its inputs, and what the example gives; writes nodes.

    Parameters
    ----------
    captured : Captured
    layer : keras.Layer or keras.Operation
    name : str
        Where it stands in the model.
    arguments : SymbolicArguments
    inputs : sequence of Held
        Tensors among the arguments, in order.
    reals : sequence of tensors
        Outputs.
    """

    def __init__(
        self,
        captured: Captured,
        layer: Any,
        name: str,
        arguments: Any,
        inputs: Sequence[Held],
        reals: Sequence[Any],
    ) -> None:
        self.captured = captured
        self.layer = layer
        self.name = name
        self.arguments = arguments
        self.inputs = list(inputs)
        self.reals = list(reals)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the first output, as Keras has it."""
        return tuple(int(n) for n in self.reals[0].shape)

    def emit(
        self, op: str, inputs: Sequence[Value | None], shape: Sequence[int], **attrs: Any
    ) -> Value:
        return self.captured.emit(op, self.name, inputs, shape, **attrs)

    def plain(self, at: int = 0) -> Value:
        return self.captured.plain(self.inputs[at], self.name)

    def front(self, at: int = 0) -> Value:
        return self.captured.front(self.inputs[at], self.name)

    def image(self) -> Value:
        """The first input with its channels in front."""
        return self.front() if self.last else self.plain()

    def image_shape(self) -> tuple[int, ...]:
        """Of the first output with its channels in front."""
        shape = self.shape
        return (shape[0], shape[-1], *shape[1:-1]) if self.last else shape

    def made(self, value: Value, front: bool = False) -> list[Held]:
        """The only output."""
        real = self.reals[0]
        # A matrix is the same either way.
        if value.ndim < 3:
            return [Held(real, value, value)]
        return [Held(real, front=value) if front else Held(real, value)]

    def drawn(self, value: Value) -> list[Held]:
        """The only output, an image with its channels in front."""
        return self.made(value, self.last)

    def weight(self, variable: Any) -> Value:
        return self.captured.stored(variable)

    def edit(self, want: Edit) -> None:
        """Say what the layer's config must hold after a prune."""
        self.captured.edits.append((self.layer, want))

    def elementwise(self, write: Callable[[list[Value], tuple[int, ...]], Value]) -> list[Held]:
        """Work entry by entry, with channels in front where all operands have them there."""
        rank = len(self.shape)
        alike = all(len(held.real.shape) == rank > 2 for held in self.inputs)
        front = alike and all(held.front is not None for held in self.inputs)
        if not front:
            held = [self.plain(at) for at in range(len(self.inputs))]
            return self.made(write(held, self.shape))
        shape = self.shape
        held = [self.front(at) for at in range(len(self.inputs))]
        return self.made(write(held, (shape[0], shape[-1], *shape[1:-1])), front=True)

    def check_activation(self, function: Any) -> None:
        """Raise `Opaque` for a function that no operator stands for."""
        known = function is None or function in (
            keras.activations.linear,
            keras.activations.relu6,
            keras.activations.softmax,
            keras.activations.log_softmax,
        )
        if not known and self._operator(function) is None:
            raise Opaque

    def activation(self, function: Any, value: Value, axis: int) -> Value:
        """The value after an activation; ``axis``: which of its axes is the last in Keras."""
        if function is None or function is keras.activations.linear:
            return value
        if function is keras.activations.relu6:
            return self.emit("Clip", [value], value.shape, min=0, max=6)
        if function in (keras.activations.softmax, keras.activations.log_softmax):
            op = "Softmax" if function is keras.activations.softmax else "LogSoftmax"
            return self.emit(op, [value], value.shape, axis=axis)
        known = self._operator(function)
        assert known is not None
        return self.emit(known, [value], value.shape)

    @staticmethod
    def _operator(function: Any) -> str | None:
        name = getattr(function, "__name__", "")
        known = getattr(keras.activations, name, None) is function
        return ACTIVATIONS.get(name) if known else None
