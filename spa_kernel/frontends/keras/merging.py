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


def positional(call: Call) -> list[Any]:
    """What is passed, one after the other; nothing may be passed by name but tensors."""
    args, kwargs = call.arguments.args, call.arguments.kwargs
    given = [value for key, value in kwargs.items() if key not in ("training", "mask")]
    first = args[0] if len(args) == 1 and isinstance(args[0], list | tuple) else args
    return [*first, *given]


@layer(
    *MERGED, "ops.Add", "ops.Subtract", "ops.Multiply", "ops.Maximum", "ops.Minimum", several=True
)
def merge(call: Call) -> list[Held]:
    op, given = MERGED[type(call.layer).__name__], positional(call)
    numbers = [value for value in given if isinstance(value, int | float)]
    if len(given) != len(call.inputs) + len(numbers):
        raise Opaque
    if numbers:
        if op not in ("Add", "Sub", "Mul") or len(call.inputs) != 1:
            raise Opaque
        return call.elementwise(lambda xs, shape: call.emit(op, xs, shape, scalar=True))
    if len({len(held.real.shape) for held in call.inputs}) > 1:
        raise Opaque
    return call.elementwise(lambda xs, shape: call.emit(op, xs, shape))


@layer("Concatenate", "ops.Concatenate", several=True)
def concatenate(call: Call) -> list[Held]:
    if len(positional(call)) != len(call.inputs):
        raise Opaque
    rank = len(call.shape)
    axis = call.layer.axis % rank

    def moved(front: bool) -> int:
        return axis if not front or axis == 0 else axis % (rank - 1) + 1

    front = rank > 2 and all(held.front is not None for held in call.inputs)
    return call.elementwise(lambda xs, shape: call.emit("Concat", xs, shape, axis=moved(front)))
