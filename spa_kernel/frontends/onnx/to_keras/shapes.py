"""Operators that rearrange, repeat, pick, add and resize."""

from __future__ import annotations

from math import prod
from typing import Any

import keras
import numpy as np

from spa_kernel.frontends.onnx.to_keras.call import Call, Unbuilt, Value, trained
from spa_kernel.frontends.onnx.to_keras.registry import builds

ops = keras.ops


def reshaped(x: Any, target: list[int]) -> Value:
    """A tensor in another shape, of which one size may follow from the others."""
    shape = list(x.shape)
    sizes: list[Any] = [shape[at] if n == 0 else n for at, n in enumerate(target)]
    if None in sizes and -1 in sizes:
        # The batch is copied, so that the other size follows from the rest.
        if shape.count(None) != 1 or sizes.count(None) != 1:
            raise Unbuilt("with several sizes that are not known")
        rest = [n for n in sizes if n not in (None, -1)]
        sizes[sizes.index(-1)] = prod(n for n in shape if n is not None) // prod(rest)
    return Value(first=ops.reshape(x, tuple(-1 if n is None else int(n) for n in sizes)))


@builds("Reshape")
def reshape(call: Call) -> Value:
    target = [int(n) for n in call.known(1)]
    if call.attr("allowzero", 0) and 0 in target:
        raise Unbuilt("with sizes of zero")
    return reshaped(call.first(), target)


@builds("Flatten")
def flatten(call: Call) -> Value:
    x, axis = call.first(), int(call.attr("axis", 1)) % (call.rank + 1)
    if axis == 1:
        return reshaped(x, [0, -1])
    if None in x.shape[1:axis] or axis == 0:
        raise Unbuilt
    return reshaped(x, [-1, prod(x.shape[axis:])])


@builds("Transpose")
def transpose(call: Call) -> Value:
    x, perm = call.value(), list(call.attr("perm") or range(call.rank)[::-1])
    rank = call.rank
    # A change of layout alone is left to those who need it.
    if rank > 2 and perm == [0, *range(2, rank), 1]:
        return Value(first=call.last())
    if rank > 2 and perm == [0, rank - 1, *range(1, rank - 1)]:
        return Value(last=x.first) if x.first is not None else Value(last=call.first())
    return Value(first=ops.transpose(call.first(), perm))


@builds("Squeeze")
def squeeze(call: Call) -> Value:
    axes, x = call.setting("axes", 1), call.first()
    if axes is None:
        axes = [axis for axis, n in enumerate(x.shape) if n == 1]
    gone = {int(n) % call.rank for n in axes}
    for axis in sorted(gone, reverse=True):
        x = ops.squeeze(x, axis)
    return Value(first=x)


@builds("Unsqueeze")
def unsqueeze(call: Call) -> Value:
    axes, x = call.setting("axes", 1), call.first()
    rank = call.rank + len(axes)
    for axis in sorted(int(n) % rank for n in axes):
        x = ops.expand_dims(x, axis)
    return Value(first=x)


@builds("Concat")
def concat(call: Call) -> Value:
    axis = call.axis(1)
    every = [value for value in call.inputs if value is not None]
    if call.rank > 2 and axis == 1 and all(value.last is not None for value in every):
        return Value(last=keras.layers.Concatenate()([value.last for value in every]))
    return Value(first=ops.concatenate([call.first(n) for n in range(len(every))], axis=axis))


@builds("Split")
def split(call: Call) -> list[Value]:
    axis, x = call.axis(0), call.first()
    sizes = call.setting("split", 1)
    if sizes is None:
        count = len(call.proto.output)
        each = -(-x.shape[axis] // count)
        sizes = [min(each, x.shape[axis] - each * n) for n in range(count)]
    ends = np.cumsum(sizes)
    before = (slice(None),) * axis
    return [
        Value(first=x[(*before, slice(int(end - n), int(end)))])
        for n, end in zip(sizes, ends, strict=True)
    ]


@builds("Slice")
def cut(call: Call) -> Value:
    x = call.first()
    starts, ends = call.setting("starts", 1), call.setting("ends", 2)
    axes = call.setting("axes", 3) or range(len(starts))
    steps = call.setting("steps", 4) or [1] * len(starts)
    keys = [slice(None)] * call.rank
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        size = x.shape[axis]
        if size is None or step < 1:
            raise Unbuilt("over the batch, or backwards")
        # Both count from the end below zero, and stop at the ends.
        keys[axis] = slice(*slice(int(start), int(end), int(step)).indices(size))
    return Value(first=x[tuple(keys)])


@builds("Gather")
def gather(call: Call) -> Value:
    table, places, axis = call.value(0), call.value(1), call.axis(0)
    if trained(table) and places.array is None:
        stored = call.known(0)
        if axis or stored.ndim != 2:
            raise Unbuilt("from a table with other axes")
        found = call.layer(lambda: keras.layers.Embedding(*stored.shape), stored)
        return Value(first=found(call.first(1)))
    if places.array is not None and places.array.ndim == 0:
        at = int(places.array)
        if table.shape[axis] is None:
            raise Unbuilt("over the batch")
        keys = (*(slice(None) for _ in range(axis)), at % table.shape[axis])
        return Value(first=call.first()[keys])
    return Value(first=ops.take(call.first(), call.first(1), axis=axis))


@builds("Pad")
def pad(call: Call) -> Value:
    pads, mode = call.setting("pads", 1), call.attr("mode", "constant")
    number = call.setting("value", 2) or 0.0
    number = number[0] if isinstance(number, list) else number
    axes = call.setting("axes", 3) or range(call.rank)
    both, half = [(0, 0)] * call.rank, len(pads) // 2
    for at, axis in enumerate(axes):
        both[int(axis) % call.rank] = int(pads[at]), int(pads[half + at])
    if mode not in ("constant", "reflect") or min(min(pair) for pair in both) < 0:
        raise Unbuilt(f"with mode={mode!r} or negative amounts")
    kind = {"constant_values": float(number)} if mode == "constant" else {}
    return Value(first=ops.pad(call.first(), both, mode, **kind))


@builds("Expand")
def expand(call: Call) -> Value:
    x, target = call.first(), [int(n) for n in call.known(1)]
    shape = [*(1 for _ in range(len(target) - call.rank)), *x.shape]
    target = [*(1 for _ in range(len(shape) - len(target))), *target]
    if shape[0] is None and target[0] == 1:
        ones = np.ones((1, *target[1:]), x.dtype)
        return Value(first=ops.multiply(x, ones))
    if None in shape:
        raise Unbuilt("with sizes that are not known")
    sizes = [max(a, b) for a, b in zip(shape, target, strict=True)]
    return Value(first=ops.broadcast_to(x, sizes))


@builds("Tile")
def tile(call: Call) -> Value:
    return Value(first=ops.tile(call.first(), [int(n) for n in call.known(1)]))


@builds("Resize")
def resize(call: Call) -> Value:
    """By whole numbers, as the layers do."""
    x, rank = call.value(), call.rank
    scales, sizes = (call.setting(n, s) for n, s in (("scales", 2), ("sizes", 3)))
    if call.attr("axes") is not None or rank not in (3, 4, 5):
        raise Unbuilt
    if not scales:
        shape = x.shape
        scales = [1, 1, *(b / a for a, b in zip(shape[2:], (sizes or [])[2:], strict=True))]
    if list(scales[:2]) != [1, 1] or any(s != int(s) for s in scales):
        raise Unbuilt("by other than whole numbers")
    factors = tuple(int(s) for s in scales[2:])
    mode, how = call.attr("mode", "nearest"), call.attr("coordinate_transformation_mode")
    how = how or "half_pixel"
    nearest = call.attr("nearest_mode", "round_prefer_floor")
    plain = (how, nearest) in (
        ("asymmetric", "floor"),
        ("half_pixel", "round_prefer_floor"),
        ("half_pixel", "round_prefer_ceil"),
    )
    if mode == "nearest" and plain:
        layer = getattr(keras.layers, f"UpSampling{rank - 2}D")
        return Value(last=layer(factors[0] if rank == 3 else factors)(call.last()))
    smooth = how in ("half_pixel", "pytorch_half_pixel")
    if mode == "linear" and smooth and rank == 4 and not call.attr("antialias", 0):
        up = keras.layers.UpSampling2D(factors, interpolation="bilinear")
        return Value(last=up(call.last()))
    raise Unbuilt(f"with mode={mode!r} and {how!r}")


@builds("DepthToSpace")
def depth_to_space(call: Call) -> Value:
    x, size = call.first(), int(call.attr("blocksize"))
    _, c, h, w = x.shape
    deep = c // size**2
    if call.attr("mode", "DCR") == "DCR":
        parts, perm = (-1, size, size, deep, h, w), (0, 3, 4, 1, 5, 2)
    else:
        parts, perm = (-1, deep, size, size, h, w), (0, 1, 4, 2, 5, 3)
    turned = ops.transpose(ops.reshape(x, parts), perm)
    return Value(first=ops.reshape(turned, (-1, deep, h * size, w * size)))


@builds("Shape")
def shape(call: Call) -> Value:
    """The batch is written as 0, which copies it where a shape is asked for."""
    sizes = [0 if n is None else n for n in call.value().shape]
    start, end = call.attr("start", 0), call.attr("end")
    return Value(np.array(sizes[start:end], np.int64), ("shape", tuple(sizes)))
