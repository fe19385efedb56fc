"""Layers and operations that bring several tensors together, and arithmetic."""

from __future__ import annotations

from functools import reduce
from typing import Any

import keras
import numpy as np

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes

MERGED = {
    "Add": "Add",
    "Subtract": "Sub",
    "Multiply": "Mul",
    "Divide": "Div",
    "TrueDivide": "Div",
    "Power": "Pow",
    "Average": "Mean",
    "Maximum": "Max",
    "Minimum": "Min",
}
UNARY = {
    "Negative": "Neg",
    "Absolute": "Abs",
    "Exp": "Exp",
    "Log": "Log",
    "Sqrt": "Sqrt",
    "Sin": "Sin",
    "Cos": "Cos",
    "Floor": "Floor",
    "Ceil": "Ceil",
    "Sign": "Sign",
    "Erf": "Erf",
    "Reciprocal": "Reciprocal",
}


@writes("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")
def merge(call: Call) -> list[Tensor]:
    if len({len(held.real.shape) for held in call.inputs}) > 1:
        raise Unwritten("with tensors of several ranks")
    op = MERGED[type(call.layer).__name__]
    if op in ("Mean", "Max", "Min"):
        return call.elementwise(lambda xs: call.node(op, *xs))
    return call.elementwise(lambda xs: reduce(lambda a, b: call.node(op, a, b), xs))


@writes("ops.Add", "ops.Subtract", "ops.Multiply", "ops.Divide", "ops.TrueDivide", reads=("x2",))
@writes("ops.Maximum", "ops.Minimum", "ops.Power", reads=("x2",))
def binary(call: Call) -> list[Tensor]:
    """Of two tensors, or of one and numbers."""
    op, (a, b) = MERGED[type(call.layer).__name__], (call.given["x1"], call.given["x2"])
    if call.dtype == "bool" or (op in ("Div", "Pow") and not call.dtype.startswith("float")):
        raise Unwritten("with whole numbers")
    if any(held.real.dtype != call.dtype for held in call.inputs) and call.dtype[0] != "f":
        raise Unwritten("with several types")
    numbers = [value for value in (a, b) if isinstance(value, int | float)]
    ranks = {len(held.real.shape) for held in call.inputs}
    # Of tensors alone, or with one number, which goes with either order of the axes.
    if len(ranks) == 1 and len(call.inputs) + len(numbers) == 2:

        def write(xs: list[str]) -> str:
            both = (
                call.constant(v) if isinstance(v, int | float) else xs[call.place(v)]
                for v in (a, b)
            )
            return call.node(op, *both)

        return call.elementwise(write)
    return call.made(call.node(op, call.operand(a), call.operand(b)))


@writes(*(f"ops.{name}" for name in UNARY))
def unary(call: Call) -> list[Tensor]:
    op = UNARY[type(call.layer).__name__]
    return call.elementwise(lambda xs: call.node(op, *xs))


@writes("ops.Mean", "ops.Sum", "ops.Max", "ops.Min")
def reduction(call: Call) -> list[Tensor]:
    own = call.layer
    if not call.dtype.startswith("float") or getattr(own, "initial", None) is not None:
        raise Unwritten("of whole numbers, or with a first one")
    axes = [own.axis] if isinstance(own.axis, int) else own.axis
    given = [] if axes is None else [call.constant(list(axes), np.int64)]
    op, keep = f"Reduce{type(own).__name__}", int(own.keepdims)
    return call.made(call.node(op, call.plain(), *given, keepdims=keep))


@writes("ops.Square")
def square(call: Call) -> list[Tensor]:
    return call.elementwise(lambda xs: call.node("Mul", *xs, *xs))


@writes("ops.Rsqrt")
def rsqrt(call: Call) -> list[Tensor]:
    return call.elementwise(lambda xs: call.node("Reciprocal", call.node("Sqrt", *xs)))


@writes("Concatenate", "ops.Concatenate")
def concatenate(call: Call) -> list[Tensor]:
    given: Any = next(iter(call.given.values()))
    if not all(isinstance(value, keras.KerasTensor) for value in given):
        raise Unwritten("with numbers")
    rank = len(call.shape)
    axis = call.layer.axis % rank
    front = rank > 2 and all(held.front is not None for held in call.inputs)
    if front and axis:
        axis = axis % (rank - 1) + 1
    return call.elementwise(lambda xs: call.node("Concat", *xs, axis=axis))


@writes("applications.CustomScaleLayer")
def scaled_sum(call: Call) -> list[Tensor]:
    """The first tensor and a share of the second one."""
    share = call.layer.scale
    return call.elementwise(
        lambda xs: call.node("Add", xs[0], call.node("Mul", xs[1], call.constant(share)))
    )
