"""Activations, as layers, as functions and as operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes

OPERATORS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "tanh": ("Tanh", {}),
    "elu": ("Elu", {}),
    "selu": ("Selu", {}),
    "celu": ("Celu", {}),
    "gelu": ("Gelu", {}),
    "mish": ("Mish", {}),
    "leaky_relu": ("LeakyRelu", {"alpha": 0.2}),
    "softplus": ("Softplus", {}),
    "softsign": ("Softsign", {}),
    "exponential": ("Exp", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "sparse_sigmoid": ("HardSigmoid", {"alpha": 0.5, "beta": 0.5}),
    "hard_silu": ("HardSwish", {}),
    "hard_shrink": ("Shrink", {"lambd": 0.5}),
    "soft_shrink": ("Shrink", {"lambd": 0.5, "bias": 0.5}),
}
"""Functions of `keras.activations` that are one operator, with their defaults."""


def clip(call: Call, x: str, low: float, high: float) -> str:
    return call.node("Clip", x, call.constant(low), call.constant(high))


def log_sigmoid(call: Call, x: str) -> str:
    return call.node("Neg", call.node("Softplus", call.node("Neg", x)))


def squareplus(call: Call, x: str, b: float = 4) -> str:
    square = call.node("Add", call.node("Mul", x, x), call.constant(b))
    return call.node("Mul", call.node("Add", x, call.node("Sqrt", square)), call.constant(0.5))


def sparse_plus(call: Call, x: str) -> str:
    """A parabola between -1 and 1, which the line of 45 degrees goes on from."""
    bounded = call.node("Add", clip(call, x, -1, 1), call.constant(1))
    curve = call.node("Mul", call.node("Mul", bounded, bounded), call.constant(0.25))
    above = call.node("Relu", call.node("Sub", x, call.constant(1)))
    return call.node("Add", curve, above)


COMPOSED: dict[str, Callable[[Call, str], str]] = {
    "silu": lambda call, x: call.node("Mul", x, call.node("Sigmoid", x)),
    "relu6": lambda call, x: clip(call, x, 0, 6),
    "hard_tanh": lambda call, x: clip(call, x, -1, 1),
    "tanh_shrink": lambda call, x: call.node("Sub", x, call.node("Tanh", x)),
    "log_sigmoid": log_sigmoid,
    "squareplus": squareplus,
    "sparse_plus": sparse_plus,
}
"""Functions that are made of several operators."""


def activated(call: Call, function: Any, value: str, axis: int = -1) -> str:
    """The value after an activation; ``axis``: which of its axes is the last in Keras."""
    if function is None or function is keras.activations.linear:
        return value
    name = getattr(function, "__name__", "")
    if getattr(keras.activations, name, None) is not function:
        raise Unwritten(f"with the activation {name or function}")
    if name in ("softmax", "log_softmax"):
        return call.node("Softmax" if name == "softmax" else "LogSoftmax", value, axis=axis)
    if name in COMPOSED:
        return COMPOSED[name](call, value)
    if name not in OPERATORS:
        raise Unwritten(f"with the activation {name}")
    op, attrs = OPERATORS[name]
    return call.node(op, value, **attrs)


@writes("Activation")
def activation(call: Call) -> list[Tensor]:
    function = call.layer.activation
    if function in (keras.activations.softmax, keras.activations.log_softmax):
        return call.made(activated(call, function, call.plain()))
    return call.elementwise(lambda xs: activated(call, function, xs[0]))


@writes("ops.Relu", "ops.Sigmoid", "ops.Tanh", "ops.Silu", "ops.Selu", "ops.Softplus", "ops.Relu6")
@writes("ops.Softsign", "ops.LogSigmoid", "ops.HardSigmoid", "ops.HardSilu", "ops.HardTanh")
@writes("ops.TanhShrink", "ops.SparsePlus", "ops.SparseSigmoid")
def function(call: Call) -> list[Tensor]:
    """An operation without settings, by the name of its function."""
    kind = type(call.layer).__name__
    name = "".join(f"_{c.lower()}" if c.isupper() else c for c in kind)[1:]
    return call.elementwise(lambda xs: activated(call, getattr(keras.activations, name), xs[0]))


@writes("ops.Gelu")
def gelu(call: Call) -> list[Tensor]:
    how = "tanh" if call.layer.approximate else "none"
    return call.elementwise(lambda xs: call.node("Gelu", *xs, approximate=how))


@writes("ELU", "ops.Elu", "ops.Celu")
def elu(call: Call) -> list[Tensor]:
    op = "Celu" if type(call.layer).__name__ == "Celu" else "Elu"
    return call.elementwise(lambda xs: call.node(op, *xs, alpha=float(call.layer.alpha)))


@writes("LeakyReLU", "ops.LeakyRelu")
def leaky(call: Call) -> list[Tensor]:
    slope = float(call.layer.negative_slope)
    return call.elementwise(lambda xs: call.node("LeakyRelu", *xs, alpha=slope))


@writes("ReLU")
def relu(call: Call) -> list[Tensor]:
    own = call.layer
    slope, most, threshold = own.negative_slope, own.max_value, own.threshold

    def write(xs: list[str]) -> str:
        (x,) = xs
        if slope and most is None and not threshold:
            return call.node("LeakyRelu", x, alpha=float(slope))
        if threshold:
            out = call.node("ThresholdedRelu", x, alpha=float(threshold))
        elif most is None:
            return call.node("Relu", x)
        else:
            out = x
        if most is not None:
            out = clip(call, out, 0, most)
        if slope:
            below = call.node("Relu", call.node("Sub", call.constant(threshold), x))
            out = call.node("Sub", out, call.node("Mul", below, call.constant(slope)))
        return out

    return call.elementwise(write)


@writes("PReLU")
def prelu(call: Call) -> list[Tensor]:
    return call.made(call.node("PRelu", call.plain(), call.weight(call.layer.alpha)))


@writes("Softmax", "ops.Softmax", "ops.LogSoftmax")
def softmax(call: Call) -> list[Tensor]:
    axis = call.layer.axis
    if not isinstance(axis, int):
        raise Unwritten("over several axes")
    op = type(call.layer).__name__
    return call.made(call.node(op, call.plain(), axis=axis))
