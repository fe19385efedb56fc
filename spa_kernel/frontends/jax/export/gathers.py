"""Look-ups."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.lax import GatherScatterMode

from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.shapes import window
from spa_kernel.frontends.jax.export.sizes import Bound, Size
from spa_kernel.frontends.jax.export.tensors import LONG, Tensor, constant


@primitive("gather")
def gather(call: Call) -> list[Tensor] | None:
    """Slices of an array at index vectors, which are the index array's last axis."""
    numbers = call.eqn.params["dimension_numbers"]
    if numbers != call.twin.params["dimension_numbers"]:
        raise Bound("a look-up along other axes")
    sizes = call.param("slice_sizes")
    data, index = call.x(0), call.x(1)
    axes = [int(a) for a in numbers.start_index_map]
    batch = [int(a) for a in numbers.operand_batching_dims]
    for axis, size in enumerate(sizes):
        if axis not in axes and axis not in batch and size != data.shape[axis]:
            shape = (*data.shape[:axis], int(size), *data.shape[axis + 1 :])
            data = call.sheet.slice(data, axis, 0, int(size), shape)
    clip = call.param("mode") == GatherScatterMode.CLIP
    if any(sizes[a] != 1 for a in axes):
        if index.ndim > 1 or call.param("mode") == GatherScatterMode.FILL_OR_DROP:
            return None
        return windows(call, data, index, axes)
    found, axes_of = (
        single(call, data, index, axes[0], clip)
        if len(axes) == 1 and not batch
        else several(call, data, index, axes, batch, numbers.start_indices_batching_dims, clip)
    )
    places = [int(i) for i in numbers.offset_dims]
    gone = {*map(int, numbers.collapsed_slice_dims), *batch}
    kept = iter([("data", a) for a in range(data.ndim) if a not in gone])
    rest = iter([("index", i) for i in range(index.ndim - 1)])
    wanted = [next(kept) if i in places else next(rest) for i in range(len(call.out))]
    order = [axes_of.index(w) for w in wanted if w in axes_of]
    return [call.sheet.reshape(call.sheet.transpose(found, order), call.out)]


def single(call: Call, data: Tensor, index: Tensor, axis: int, clip: bool) -> Any:
    """Along one axis."""
    entries = stripped(call, index)
    size = data.shape[axis]
    if clip:
        bounds = constant(0, entries.dtype), constant(int(size) - 1, entries.dtype)
        entries = call.sheet.node("Clip", (entries, *bounds), entries.shape)
    elif entries.made[0] == "Wrapped" and entries.made[2] == size:
        entries = entries.made[1]
    if entries.dtype not in (np.int32, np.int64):
        entries = call.sheet.cast(entries, LONG)
    shape = (*data.shape[:axis], *entries.shape, *data.shape[axis + 1 :])
    found = call.sheet.node("Gather", (data, entries), shape, axis=axis)
    names = [("data", a) for a in range(data.ndim)]
    names[axis : axis + 1] = [("index", i) for i in range(index.ndim - 1)]
    return found, names


def stripped(call: Call, index: Tensor) -> Tensor:
    """Index vectors of one number as numbers."""
    shape = index.shape[:-1]
    if index.made[0] == "Reshape" and index.made[1].shape == shape:
        inner: Tensor = index.made[1]
        return inner
    return call.sheet.reshape(index, shape)


def several(
    call: Call, data: Tensor, index: Tensor, axes: list[int], batch: list[int], where: Any,
    clip: bool,
) -> Any:  # fmt: skip
    """Along several axes at once, or along one in each sample."""
    sheet = call.sheet
    rest = [a for a in range(data.ndim) if a not in axes and a not in batch]
    first = [int(i) for i in where]
    others = [i for i in range(index.ndim - 1) if i not in first]
    table = sheet.cast(index, LONG)
    if clip:
        last = constant([int(data.shape[a]) - 1 for a in axes], LONG)
        table = sheet.node("Max", (table, constant(0, LONG)), table.shape)
        table = sheet.node("Min", (table, last), table.shape)
    table = sheet.transpose(table, [*first, *others, index.ndim - 1])
    turned = sheet.transpose(data, [*batch, *axes, *rest])
    shape = (*table.shape[:-1], *(data.shape[a] for a in rest))
    found = sheet.node("GatherND", (turned, table), shape, batch_dims=len(batch))
    names = [("index", i) for i in (*first, *others)] + [("data", a) for a in rest]
    return found, names


def windows(call: Call, data: Tensor, index: Tensor, axes: list[int]) -> list[Tensor]:
    """One stretch of each axis."""
    sheet, sizes = call.sheet, call.param("slice_sizes")
    for i, axis in enumerate(axes):
        if isinstance(sizes[axis], Size):
            raise Bound("a stretch that follows the batch")
        start = sheet.slice(index, 0, i, i + 1, (1,))
        data = window(call, data, axis, start, int(sizes[axis]))
    return [sheet.reshape(data, call.out)]
