"""Converters of operations that take parts of a tensor: indexing, and splitting."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer
from spa_kernel.graph.ir import Value


def picked(call: Call, x: Value, axis: int, index: np.ndarray) -> Value:
    """Entries at positions that are written in a call: none along this axis can go."""
    table = Value(f"positions of {call.name}", index.shape, "constant", "int64", index)
    shape = (*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])
    return call.emit("Gather", [x, table], shape, axis=axis, literal=True)


@layer("ops.GetItem")
def get_item(call: Call) -> list[Held]:
    """Whole numbers, slices, new axes and an ellipsis."""
    args, kwargs = call.arguments.args, call.arguments.kwargs
    key: Any = kwargs["key"] if "key" in kwargs else args[1]
    out = call.plain()
    axis = 0
    for one in entries(key, out.ndim):
        if one is None:
            continue
        if isinstance(one, slice):
            index = positions(one, out.shape[axis])
            if not np.array_equal(index, np.arange(out.shape[axis])):
                out = picked(call, out, axis, index)
            axis += 1
        elif isinstance(one, int) and not isinstance(one, bool):
            out = picked(call, out, axis, np.array(one % out.shape[axis]))
        else:
            raise Opaque
    return call.made(call.emit("Reshape", [out], call.shape))


def entries(key: Any, rank: int) -> list[Any]:
    """One for each axis that there is or that comes."""
    found = list(key) if isinstance(key, tuple | list) else [key]
    if not any(one is Ellipsis for one in found):
        found.append(Ellipsis)
    at = next(i for i, one in enumerate(found) if one is Ellipsis)
    missing = rank - sum(one is not None and one is not Ellipsis for one in found)
    found[at : at + 1] = [slice(None)] * missing
    return found


def positions(one: slice, size: int) -> np.ndarray:
    if not all(n is None or isinstance(n, int) for n in (one.start, one.stop, one.step)):
        raise Opaque
    return np.arange(size)[one]


@layer("ops.Split")
def split(call: Call) -> list[Held]:
    """Equal parts stay equal; of others, the borders are written anew."""
    x, axis = call.plain(), call.layer.axis % call.rank
    given, size = call.layer.indices_or_sections, x.shape[axis]
    if isinstance(given, int):
        share = size // given
        table = call.emit("Reshape", [x], (*x.shape[:axis], given, share, *x.shape[axis + 1 :]))
        made = [picked(call, table, axis, np.array(at)) for at in range(given)]
        return [Held(real, part) for real, part in zip(call.reals, made, strict=True)]
    borders = [0, *given, size]
    if not all(type(n) is int for n in given) or any(a >= b for a, b in pairwise(borders)):
        raise Opaque
    parts = [
        call.emit("Slice", [x], real.shape, index={axis: np.arange(start, stop)})
        for real, start, stop in zip(call.reals, borders[:-1], borders[1:], strict=True)
    ]
    call.edit(
        lambda after: {
            "indices_or_sections": tuple(
                int(n) for n in np.cumsum([after.size(part, axis) for part in parts[:-1]])
            )
        }
    )
    return [Held(real, part) for real, part in zip(call.reals, parts, strict=True)]
