"""Converters of operations of `keras.ops` that work on one tensor, entry by entry."""

from __future__ import annotations

from spa_kernel.frontends.keras.call import Call
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer

OTHER_NAMES = {"Absolute": "Abs", "Negative": "Neg", "HardSilu": "HardSwish"}
"""Operators that are called otherwise than in Keras."""


@layer("ops.Relu", "ops.Sigmoid", "ops.Tanh", "ops.Silu", "ops.Gelu", "ops.Elu", "ops.Selu")
@layer("ops.Softplus", "ops.Softsign", "ops.LeakyRelu", "ops.LogSigmoid", "ops.HardSigmoid")
@layer("ops.HardSilu", "ops.Absolute", "ops.Negative", "ops.Square", "ops.Sqrt", "ops.Rsqrt")
@layer("ops.Exp", "ops.Log", "ops.Sin", "ops.Cos", "ops.Erf", "ops.Sign", "ops.Floor", "ops.Ceil")
@layer("ops.Reciprocal")
def function(call: Call) -> list[Held]:
    """By the operator's own name."""
    name = type(call.layer).__name__
    op = OTHER_NAMES.get(name, name)
    return call.elementwise(lambda xs, shape: call.emit(op, xs, shape))


@layer("ops.Relu6")
def relu6(call: Call) -> list[Held]:
    return call.elementwise(lambda xs, shape: call.emit("Clip", xs, shape, min=0, max=6))
