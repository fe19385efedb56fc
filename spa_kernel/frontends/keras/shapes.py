"""Converters of layers and operations that move, join and part axes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer
from spa_kernel.frontends.keras.merging import only_tensors


@layer("Flatten")
def flatten(call: Call) -> list[Held]:
    """The channels of an image come last, whatever its layout."""
    x = call.plain()
    if not call.last and x.ndim > 2:
        x = call.captured.turn(x, (0, *range(2, x.ndim), 1), call.name)
    return call.made(call.emit("Reshape", [x], call.shape))


@layer("Reshape")
def reshape(call: Call) -> list[Held]:
    return reshaped(call, "target_shape", 1)


@layer("ops.Reshape")
def reshape_with_batch(call: Call) -> list[Held]:
    return reshaped(call, "newshape", 0)


def reshaped(call: Call, key: str, first: int) -> list[Held]:
    """``key``: where the sizes are written, from which axis on."""
    given = getattr(call.layer, key)
    target = (given,) if isinstance(given, int) else tuple(given)
    if not all(isinstance(n, int) for n in target):
        raise Opaque
    out = call.emit("Reshape", [call.plain()], call.shape)
    call.edit(
        lambda after: {
            key: tuple(n if n == -1 else after.size(out, at) for at, n in enumerate(target, first))
        }
    )
    return call.made(out)


@layer("ops.ExpandDims", "ops.Squeeze")
def ones(call: Call) -> list[Held]:
    """Axes of one index come or go; which ones must be said, as others may shrink to one."""
    if call.layer.axis is None:
        raise Opaque
    return call.made(call.emit("Reshape", [call.plain()], call.shape))


def turned(call: Call, perm: Sequence[int]) -> list[Held]:
    return call.made(call.captured.turn(call.plain(), perm, call.name))


@layer("Permute")
def permute(call: Call) -> list[Held]:
    return turned(call, (0, *call.layer.dims))


@layer("ops.Transpose")
def transpose(call: Call) -> list[Held]:
    axes = call.layer.axes
    order = range(call.rank)[::-1] if axes is None else [axis % call.rank for axis in axes]
    return turned(call, tuple(order))


@layer("ops.Swapaxes")
def swap(call: Call) -> list[Held]:
    a, b = call.layer.axis1 % call.rank, call.layer.axis2 % call.rank
    return turned(call, [{a: b, b: a}.get(axis, axis) for axis in range(call.rank)])


@layer("ops.Moveaxis")
def move(call: Call) -> list[Held]:
    return turned(call, moved(call.rank, call.layer.source, call.layer.destination))


def moved(rank: int, source: Sequence[int], destination: Sequence[int]) -> list[int]:
    """Which axis each one was before some were moved, as numpy does it."""
    sizes = np.moveaxis(np.empty(range(1, rank + 1)), source, destination).shape
    return [n - 1 for n in sizes]


@layer("RepeatVector")
def repeat(call: Call) -> list[Held]:
    x, shape = call.plain(), call.shape
    one = call.emit("Reshape", [x], (shape[0], 1, shape[2]))
    return call.made(call.emit("Expand", [one], shape))


@layer("ops.Stack", several=True)
def stack(call: Call) -> list[Held]:
    only_tensors(call)
    shape = call.shape
    axis = call.layer.axis % len(shape)
    one = (*shape[:axis], 1, *shape[axis + 1 :])
    parts = [call.emit("Reshape", [call.plain(at)], one) for at in range(len(call.inputs))]
    return call.made(call.emit("Concat", parts, shape, axis=axis))
