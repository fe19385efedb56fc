"""Operators that pick entries: slice, split, gather, scatter."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spa_kernel.frontends.onnx.convert_slices import even_sizes, slice_of
from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator


@operator("Slice", settings=(1, 2, 3, 4))
def slice_(
    call: Call,
    x: Tensor,
    starts: Known | None = None,
    ends: Known | None = None,
    axes: Known | None = None,
    steps: Known | None = None,
) -> Tensor:
    first, last = call.setting("starts", starts) or [], call.setting("ends", ends) or []
    dims = call.setting("axes", axes) or list(range(len(first)))
    each = call.setting("steps", steps) or [1] * len(first)
    for axis, start, end, step in zip(dims, first, last, each, strict=True):
        axis %= x.ndim
        part = slice_of(int(x.shape[axis]), start, end, step)
        if step > 0:
            index = (slice(None),) * axis + (part,)
            x = x[index] if (part.start, part.step) != (0, 1) or part.stop < x.shape[axis] else x
        else:
            rows = np.arange(x.shape[axis])[part].copy()
            x = x.index_select(axis, call.tensor(rows))
    return x


@operator("Split", settings=(1,))
def split(call: Call, x: Tensor, sizes: Known | None = None) -> tuple[Tensor, ...]:
    axis = call.attr("axis", 0)
    given = call.setting("split", sizes)
    if given is None:
        parts = call.attr("num_outputs", len(call.outputs))
        given = [int(n) for n in even_sizes(int(x.shape[axis]), parts)]
    return tuple(torch.split(x, given, axis))


@operator("Gather", either=(1,))
def gather(call: Call, x: Tensor, index: Tensor | Known) -> Tensor:
    axis = call.attr("axis", 0) % x.ndim
    if isinstance(index, np.ndarray):
        table = np.where(index < 0, index + x.shape[axis], index).astype(np.int64)
        if table.ndim == 0:
            return x.select(axis, int(table))
        found = x.index_select(axis, call.tensor(table.ravel()))
        return found if table.ndim == 1 else found.unflatten(axis, table.shape)
    # Counting from the end is an error here, which is said.
    if axis == 0 and x.ndim == 2 and x.is_floating_point():
        return F.embedding(index.long(), x)
    found = x.index_select(axis, index.reshape(-1))
    return found.reshape(*x.shape[:axis], *index.shape, *x.shape[axis + 1 :])


@operator("GatherElements", either=(1,))
def gather_elements(call: Call, x: Tensor, index: Tensor | Known) -> Tensor:
    axis = call.attr("axis", 0) % x.ndim
    return torch.gather(x, axis, positive(call, index, x.shape[axis]))


@operator("ScatterElements", "Scatter", either=(1,))
def scatter_elements(call: Call, x: Tensor, index: Tensor | Known, updates: Tensor) -> Tensor:
    axis, kind = call.attr("axis", 0) % x.ndim, call.attr("reduction", "none")
    places = positive(call, index, x.shape[axis])
    if kind == "none":
        return torch.scatter(x, axis, places, updates)
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    return torch.scatter_reduce(x, axis, places, updates, names[kind])


def positive(call: Call, index: Tensor | Known, size: int) -> Tensor:
    """Positions from the front."""
    if isinstance(index, np.ndarray):
        return call.tensor(np.where(index < 0, index + size, index).astype(np.int64))
    return torch.where(index < 0, index + size, index).long()


@operator("GatherND", either=(1,))
def gather_nd(call: Call, x: Tensor, index: Tensor | Known) -> Tensor:
    if call.attr("batch_dims", 0):
        raise call.refuse("it takes several entries of each sample")
    return x[places(call, index, x)]


@operator("ScatterND", either=(1,))
def scatter_nd(call: Call, x: Tensor, index: Tensor | Known, updates: Tensor) -> Tensor:
    kind = call.attr("reduction", "none")
    if kind not in ("none", "add"):
        raise call.refuse(f"it reduces by {kind}")
    return torch.index_put(x, places(call, index, x), updates, kind == "add")


def places(call: Call, index: Tensor | Known, x: Tensor) -> tuple[Tensor, ...]:
    """Positions along the first axes, an array for each."""
    count = index.shape[-1]
    return tuple(positive(call, index[..., i], x.shape[i]) for i in range(count))


@operator("Compress", settings=(1,))
def compress(call: Call, x: Tensor, condition: Known) -> Tensor:
    axis = call.attr("axis")
    if axis is None:
        x, axis = x.reshape(-1), 0
    return x.index_select(axis, call.tensor(np.flatnonzero(condition)))


@operator("OneHot", settings=(1,))
def one_hot(call: Call, index: Tensor, depth: Known, values: Tensor) -> Tensor:
    count, axis = int(depth.item()), call.attr("axis", -1)
    whole = torch.arange(count, device=call.device)
    found = positive(call, index, count).unsqueeze(-1) == whole
    off, on = values.unbind(0)
    return torch.where(found, on, off).movedim(-1, axis)
