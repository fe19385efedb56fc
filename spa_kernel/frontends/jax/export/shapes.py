"""Primitives that move axes and entries about."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.sizes import Dim, Shape, Size
from spa_kernel.frontends.jax.export.tensors import END, LONG, Sheet, Tensor, constant


@primitive("reshape", "expand_dims")
def reshape(call: Call) -> list[Tensor] | None:
    if call.param("dimensions") is not None and call.name == "reshape":
        return None
    shape, number = call.out, call.operands[0].number
    if number is not None:
        return [constant(np.full((1,) * len(shape), number), call.dtype)]
    x = call.x()
    if (1,) * (len(shape) - x.ndim) + x.shape == shape:
        # What it is combined with broadcasts it.
        return [x]
    return [call.sheet.reshape(x, shape)]


@primitive("squeeze")
def squeeze(call: Call) -> list[Tensor]:
    x, axes = call.x(), [int(a) for a in call.param("dimensions")]
    return call.node("Squeeze", (x, constant(axes, LONG)), made=("Reshape", x))


@primitive("transpose")
def transpose(call: Call) -> list[Tensor]:
    return [call.sheet.transpose(call.x(), call.param("permutation"))]


@primitive("broadcast_in_dim")
def broadcast_in_dim(call: Call) -> list[Tensor]:
    """Only axes of one entry are put in; what it is combined with broadcasts it."""
    x = call.x() if call.operands[0].array is None else call.operands[0]
    places = [int(i) for i in call.param("broadcast_dimensions")]
    shape: list[Dim] = [1] * len(call.out)
    for place, size in zip(places[len(places) - x.ndim :], x.shape, strict=True):
        shape[place] = size
    leading = next((i for i, size in enumerate(shape) if size != 1), len(shape))
    if x.array is None and x.shape == tuple(shape[leading:]):
        return [x]
    return [call.sheet.reshape(x, tuple(shape))]


@primitive("iota")
def iota(call: Call) -> list[Tensor]:
    axis, shape = int(call.param("dimension")), call.out
    size = shape[axis]
    own: Shape = tuple(size if i == axis else 1 for i in range(len(shape)))
    if not isinstance(size, Size):
        return [constant(np.arange(size).reshape(own), call.dtype)]
    end = call.sheet.reshape(call.sheet.size(size), ())
    row = call.sheet.node("Range", (constant(0, LONG), end, constant(1, LONG)), (size,))
    return [call.sheet.reshape(call.sheet.cast(row, call.dtype), own)]


@primitive("concatenate")
def concatenate(call: Call) -> list[Tensor]:
    parts = [call.x(i) for i in range(len(call.operands))]
    return call.node("Concat", parts, axis=int(call.param("dimension")))


@primitive("stack")
def stack(call: Call) -> list[Tensor]:
    axis = int(call.param("axis"))
    whole = (*call.out[:axis], 1, *call.out[axis + 1 :])
    parts = [call.sheet.reshape(call.x(i), whole) for i in range(len(call.operands))]
    return call.node("Concat", parts, axis=axis)


@primitive("unstack")
def unstack(call: Call) -> list[Tensor]:
    x, axis = call.x(), int(call.param("axis"))
    shapes = zip(range(int(x.shape[axis])), call.outs(), strict=True)
    places = [(constant(i, LONG), shape) for i, shape in shapes]
    return [call.sheet.node("Gather", (x, i), shape, axis=axis) for i, shape in places]


@primitive("split")
def split(call: Call) -> list[Tensor]:
    x, axis = call.x(), int(call.param("axis"))
    sizes = call.param("sizes")
    outs = [Tensor((*x.shape[:axis], size, *x.shape[axis + 1 :]), x.dtype) for size in sizes]
    call.sheet.nodes("Split", (x, call.sheet.sizes(sizes)), outs, axis=axis)
    return outs


@primitive("slice")
def slice_(call: Call) -> list[Tensor]:
    x = call.x()
    starts, stops = call.param("start_indices"), call.param("limit_indices")
    steps = call.param("strides") or (1,) * x.ndim
    for axis, (start, stop, step) in enumerate(zip(starts, stops, steps, strict=True)):
        if (start, step) == (0, 1) and stop == x.shape[axis]:
            continue
        shape = (*x.shape[:axis], call.out[axis], *x.shape[axis + 1 :])
        end = END if stop == x.shape[axis] else position(call.sheet, stop)
        x = call.sheet.slice(x, axis, position(call.sheet, start), end, shape, int(step))
    return [x]


def position(sheet: Sheet, number: Dim) -> int | Tensor:
    return sheet.size(number) if isinstance(number, Size) else int(number)


@primitive("rev")
def rev(call: Call) -> list[Tensor]:
    x = call.x()
    for axis in call.param("dimensions"):
        x = flipped(call.sheet, x, int(axis))
    return [x]


def flipped(sheet: Sheet, x: Tensor, axis: int) -> Tensor:
    return sheet.slice(x, axis, -1, -END, x.shape, -1)


@primitive("pad")
def pad(call: Call) -> list[Tensor]:
    value = call.operands[1]
    return [padded(call, call.x(), call.param("padding_config"), value)]


def padded(call: Call, x: Tensor, config: list[tuple[int, int, int]], value: Tensor) -> Tensor:
    """Entries in front of an axis, behind it and in between; fewer than none: cut away."""
    sheet = call.sheet
    for axis, (_, _, inside) in enumerate(config):
        if inside:
            x = spread(call, x, axis, int(inside), value)
    pads = [max(int(n), 0) for k in (0, 1) for n in (c[k] for c in config)]
    if any(pads):
        wide = [
            size if low == high == 0 else int(size) + low + high
            for size, low, high in zip(x.shape, pads[: x.ndim], pads[x.ndim :], strict=True)
        ]
        scalar = sheet.reshape(value, ())
        x = sheet.node("Pad", (x, constant(pads, LONG), scalar), tuple(wide), mode="constant")
    for axis, (low, high, _) in enumerate(config):
        if min(low, high) < 0:
            start, stop = max(-low, 0), int(x.shape[axis]) + min(high, 0)
            shape = (*x.shape[:axis], stop - start, *x.shape[axis + 1 :])
            x = sheet.slice(x, axis, start, stop, shape)
    return x


def spread(call: Call, x: Tensor, axis: int, inside: int, value: Tensor) -> Tensor:
    """As many entries between each two of an axis."""
    front, size, behind = x.shape[:axis], int(x.shape[axis]), x.shape[axis + 1 :]
    if size == 0:
        raise call.refuse("of an axis without entries")
    apart = call.sheet.reshape(x, (*front, size, 1, *behind))
    config = [(0, inside if i == axis + 1 else 0, 0) for i in range(x.ndim + 1)]
    wide = padded(call, apart, config, value)
    length = size * (inside + 1)
    whole = call.sheet.reshape(wide, (*front, length, *behind))
    shape = (*front, length - inside, *behind)
    return call.sheet.slice(whole, axis, 0, length - inside, shape)


@primitive("tile")
def tile(call: Call) -> list[Tensor] | None:
    x, repeats = call.x(), [int(n) for n in call.param("reps")]
    if len(repeats) != x.ndim:
        return None
    return call.node("Tile", (x, constant(repeats, LONG)))


@primitive("dynamic_slice")
def dynamic_slice(call: Call) -> list[Tensor]:
    x, sizes = call.x(), call.param("slice_sizes")
    for axis, (start, size) in enumerate(zip(call.operands[1:], sizes, strict=True)):
        if size != x.shape[axis]:
            x = window(call, x, axis, start, int(size))
    return [x]


def window(call: Call, x: Tensor, axis: int, start: Tensor, size: int) -> Tensor:
    """A stretch of a length that is known; where it starts is kept within the axis."""
    sheet, last = call.sheet, int(x.shape[axis]) - size
    shape = (*x.shape[:axis], size, *x.shape[axis + 1 :])
    if start.number is not None:
        first = min(max(int(start.number), 0), last)
        return sheet.slice(x, axis, first, first + size, shape)
    place = sheet.reshape(sheet.cast(start, LONG), (1,))
    place = sheet.node("Max", (place, constant([0], LONG)), (1,))
    place = sheet.node("Min", (place, constant([last], LONG)), (1,))
    end = sheet.node("Add", (place, constant([size], LONG)), (1,))
    return sheet.slice(x, axis, place, end, shape)
