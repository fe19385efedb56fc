"""Parts of a tensor: indexing, and splitting."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes


@writes("ops.GetItem", reads=("key",))
def get_item(call: Call) -> list[Tensor]:
    """Slices and whole numbers, new axes and an ellipsis; the batch is left alone."""
    key, out = call.given["key"], call.raw()
    keys = list(key) if isinstance(key, tuple) else [key]
    if sum(one is Ellipsis for one in keys) == 0:
        keys.append(Ellipsis)
    at = next(i for i, one in enumerate(keys) if one is Ellipsis)
    missing = call.rank - sum(one is not None and one is not Ellipsis for one in keys)
    keys[at : at + 1] = [slice(None)] * missing
    axis, place = 0, 0
    gone, fresh, cuts = list[int](), list[int](), list[tuple[int, int, int, int]]()
    for one in keys:
        if one is None:
            fresh.append(place)
            place += 1
            continue
        if isinstance(one, slice):
            place += 1
            if one != slice(None):
                cuts.append((*bounds(call, one, axis), axis))
        elif isinstance(one, int) and not isinstance(one, bool):
            start = one % bounded(call, axis)
            cuts.append((start, start + 1, 1, axis))
            gone.append(axis)
        else:
            raise Unwritten("with positions that are worked out")
        axis += 1
    if cuts:
        starts, ends, steps, axes = (call.constant(n, np.int64) for n in zip(*cuts, strict=True))
        out = call.node("Slice", out, starts, ends, axes, steps)
    if gone:
        out = call.node("Squeeze", out, call.constant(gone, np.int64))
    if fresh:
        out = call.node("Unsqueeze", out, call.constant(fresh, np.int64))
    return call.made(out)


def bounds(call: Call, one: slice, axis: int) -> tuple[int, int, int]:
    """Where a slice begins and ends, and its step, as ONNX counts."""
    if not all(n is None or isinstance(n, int) for n in (one.start, one.stop, one.step)):
        raise Unwritten("with positions that are worked out")
    start, stop, step = one.indices(bounded(call, axis))
    return start, stop if stop >= 0 else np.iinfo(np.int64).min, step


def bounded(call: Call, axis: int) -> int:
    size = call.inputs[0].real.shape[axis]
    if size is None:
        raise Unwritten("over the batch")
    return int(size)


@writes("ops.Split")
def split(call: Call) -> list[Tensor]:
    axis, x = call.layer.axis % call.rank, call.plain()
    sizes = [real.shape[axis] for real in call.reals]
    if None in sizes or 0 in sizes:
        raise Unwritten("over the batch, or with empty parts")
    bounds, made = np.cumsum([0, *sizes]), []
    for real, start, stop in zip(call.reals, bounds[:-1], bounds[1:], strict=True):
        part = [call.constant([n], np.int64) for n in (start, stop, axis)]
        made.append(Tensor(real, call.node("Slice", x, *part)))
    return made
