"""Converters of layers and operations that bring several tensors together."""

from __future__ import annotations

from typing import Any

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer

MERGED = {
    "Add": "Add",
    "Subtract": "Sub",
    "Multiply": "Mul",
    "Average": "Mean",
    "Maximum": "Max",
    "Minimum": "Min",
}
BINARY = {name: op for name, op in MERGED.items() if name != "Average"}
BINARY |= {"Divide": "Div", "TrueDivide": "Div", "Power": "Pow"}


def positional(call: Call) -> list[Any]:
    """What is passed, one after the other; nothing may be passed by name but tensors."""
    args, kwargs = call.arguments.args, call.arguments.kwargs
    given = [value for key, value in kwargs.items() if key not in ("training", "mask")]
    first = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    return [*first, *given]


def only_tensors(call: Call) -> None:
    """Raise `Opaque` where anything but tensors is passed."""
    if len(positional(call)) != len(call.inputs):
        raise Opaque


@layer(*MERGED, several=True)
def merge(call: Call) -> list[Held]:
    only_tensors(call)
    op = MERGED[type(call.layer).__name__]
    # With several ranks, these layers line the first axes up.
    if len({len(held.real.shape) for held in call.inputs}) > 1:
        raise Opaque
    return call.elementwise(lambda xs, shape: call.emit(op, xs, shape))


@layer(*(f"ops.{name}" for name in BINARY), several=True)
def binary(call: Call) -> list[Held]:
    """Of two tensors, or of one and a number."""
    op, given = BINARY[type(call.layer).__name__], positional(call)
    numbers = [value for value in given if isinstance(value, int | float)]
    if len(given) != 2 or len(given) != len(call.inputs) + len(numbers):
        raise Opaque
    if not numbers:
        return call.elementwise(lambda xs, shape: call.emit(op, xs, shape))
    op, attrs = with_number(op, numbers[0], numbers[0] is given[0])
    return call.elementwise(lambda xs, shape: call.emit(op, xs, shape, **attrs))


def with_number(op: str, number: float, first: bool) -> tuple[str, dict[str, Any]]:
    """The operator that a tensor goes through; ``first``: whether the number is the left one."""
    if op in ("Max", "Min"):
        return "Clip", {"min" if op == "Max" else "max": float(number)}
    if op in ("Add", "Sub", "Mul"):
        return op, {"scalar": True}
    if op == "Div" and first:
        return "Reciprocal", {}
    if first or (op == "Div" and not number):
        raise Opaque
    return op, {}


@layer("Concatenate", "ops.Concatenate", several=True)
def concatenate(call: Call) -> list[Held]:
    only_tensors(call)
    rank = len(call.shape)
    axis = call.layer.axis % rank

    def moved(front: bool) -> int:
        return axis if not front or axis == 0 else axis % (rank - 1) + 1

    front = rank > 2 and all(held.front is not None for held in call.inputs)
    return call.elementwise(lambda xs, shape: call.emit("Concat", xs, shape, axis=moved(front)))
