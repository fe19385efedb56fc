"""Operators that move axes and indices about: reshape, transpose, concat, slice, gather, pad."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import (
    Fixed,
    Free,
    Product,
    Same,
    Segment,
    Statement,
    Zero,
    operator,
)
from spa_kernel.graph.ops_elementwise import broadcast


def aligned_blocks(a: tuple[int, ...], b: tuple[int, ...]) -> Iterator[tuple[list[int], list[int]]]:
    """Split two shapes of equal element count into the smallest blocks of equal product.

    Axes of size 1 are left out: they carry no index that could go.
    """
    left = [i for i, n in enumerate(a) if n != 1]
    right = [i for i, n in enumerate(b) if n != 1]
    i = j = 0
    while i < len(left) and j < len(right):
        xs, ys = [left[i]], [right[j]]
        m, n = a[left[i]], b[right[j]]
        i, j = i + 1, j + 1
        while m != n:
            if m < n:
                xs.append(left[i])
                m, i = m * a[left[i]], i + 1
            else:
                ys.append(right[j])
                n, j = n * b[right[j]], j + 1
        yield xs, ys


@operator("Reshape")
def reshape(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    if 0 in x.shape:
        return
    for xs, ys in aligned_blocks(x.shape, out.shape):
        if len(xs) == len(ys) == 1:
            yield Same((out, ys[0]), (x, xs[0]))
        elif len(xs) == 1:
            yield Product((x, xs[0]), tuple((out, j) for j in ys))
        elif len(ys) == 1:
            yield Product((out, ys[0]), tuple((x, i) for i in xs))
        else:
            size = int(np.prod([x.shape[i] for i in xs]))
            merged = Value(f"merged axes of {node.name}", (size,), "virtual")
            yield Product((merged, 0), tuple((x, i) for i in xs))
            yield Product((merged, 0), tuple((out, j) for j in ys))


@operator("Transpose")
def transpose(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis, source in enumerate(node.attrs["perm"]):
        yield Same((out, axis), (x, source))


@operator("Concat")
def concat(node: Node) -> Iterator[Statement]:
    out, axis = node.outputs[0], node.attrs["axis"]
    start, parts = 0, []
    for value in node.inputs:
        assert value is not None
        stop = start + value.shape[axis]
        parts.append(((value, axis), np.arange(start, stop)))
        start = stop
        yield from others(out, value, axis)
    yield Segment((out, axis), tuple(parts))


def others(out: Value, value: Value, *axes: int) -> Iterator[Statement]:
    """All axes but the named ones are the same."""
    for axis in range(value.ndim):
        if axis not in axes:
            yield Same((out, axis), (value, axis))


@operator("Split")
def split(node: Node) -> Iterator[Statement]:
    x, axis = node.inputs[0], node.attrs["axis"]
    assert x is not None
    start = 0
    for out in node.outputs:
        stop = start + out.shape[axis]
        yield Segment((x, axis), (((out, axis), np.arange(start, stop)),))
        start = stop
        yield from others(out, x, axis)


@operator("Slice")
def slice_(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis, index in node.attrs["index"].items():
        step, size = node.attrs.get("step", 1), x.shape[axis]
        if step != 1 and size % step == 0 and len(index) == size // step:
            # Every so many indices are a column of a table, of which whole rows can go.
            columns = Value(f"columns of {node.name}", (step,), "virtual")
            yield Fixed((columns, 0), f"{node.where} takes every {step}. index")
            rows = Value(f"rows of {node.name}", (len(index),), "virtual")
            yield Product((x, axis), ((rows, 0), (columns, 0)))
        elif step != 1:
            yield Fixed((x, axis), f"{node.where} takes every {step}. index")
        yield Segment((x, axis), (((out, axis), index),))
        for stretch, position in node.attrs.get("borders", ()):
            # A literal position counts the indices in front of it (or behind it).
            size = x.shape[axis]
            index = np.arange(position) if position > 0 else np.arange(size + position, size)
            yield Segment((x, axis), (((stretch, 0), index),))
    yield from others(out, x, *node.attrs["index"])


@operator("SharedMemory")
def shared_memory(node: Node) -> Iterator[Statement]:
    """Two parameters on one memory would be torn apart if either were cut."""
    for value in node.inputs:
        assert value is not None
        for axis in range(value.ndim):
            yield Fixed((value, axis), f"{node.where} is on the memory of another parameter")


@operator("NotReached")
def not_reached(node: Node) -> Iterator[Statement]:
    """A parameter that other inputs may bring into play, among what was computed around it."""
    reason = f"other inputs may need {node.attrs['parameter']}, which this one does not reach"
    for value in node.inputs:
        assert value is not None
        for axis in range(value.ndim):
            yield Fixed((value, axis), reason)


@operator("SliceScatter")
def slice_scatter(node: Node) -> Iterator[Statement]:
    """The first input with a stretch of it replaced by the second one."""
    base, part, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert base is not None and part is not None
    yield from others(out, base)
    for axis, index in node.attrs["index"].items():
        yield Segment((out, axis), (((part, axis), index),))
    yield from others(out, part, *node.attrs["index"])


@operator("Assign")
def assign(node: Node) -> Iterator[Statement]:
    """The first input's memory takes the second one's entries, broadcast.

    Both are as long; of what was in the memory before nothing is left.
    """
    memory, source, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert memory is not None and source is not None
    shift = out.ndim - source.ndim
    for axis in range(out.ndim):
        if axis >= shift and source.shape[axis - shift] == out.shape[axis]:
            yield Same((memory, axis), (source, axis - shift))
            yield Same((out, axis), (source, axis - shift))
        else:
            yield Same((out, axis), (memory, axis))


@operator("Gather")
def gather(node: Node) -> Iterator[Statement]:
    """An index table that is known says where each index comes from; others only look up."""
    data, indices, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    axis = node.attrs["axis"]
    renumber = node.attrs.get("renumber")
    rewritable = renumber or not (indices.stored or node.attrs.get("literal"))
    if indices.ndim == 1 and indices.data is not None and rewritable:
        yield Segment((data, axis), (((out, axis), indices.data % data.shape[axis]),))
        if renumber:
            # Its entries go with what they point to; those that stay count anew.
            yield Same((out, axis), (indices, 0))
            yield Same((data, axis), renumber)
    else:
        yield Fixed((data, axis), f"{node.where} looks up entries along this axis")
        for i in range(indices.ndim):
            yield Same((out, axis + i), (indices, i))
    for i in range(data.ndim):
        if i < axis:
            yield Same((out, i), (data, i))
        elif i > axis:
            yield Same((out, i - 1 + indices.ndim), (data, i))


@operator("Compress")
def compress(node: Node) -> Iterator[Statement]:
    """A stored mask loses indices together with the axis that it selects from."""
    data, mask, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and mask is not None
    axis = node.attrs["axis"]
    if mask.stored and mask.data is not None:
        yield Same((data, axis), (mask, 0))
        yield Segment((data, axis), (((out, axis), np.flatnonzero(mask.data)),))
    else:
        yield Fixed((data, axis), f"{node.where} selects along this axis")
    yield from others(out, data, axis)


@operator("Expand")
def expand(node: Node) -> Iterator[Statement]:
    """``free``: how many copies there are follows from sizes that are known."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    yield from broadcast(node, x)
    shift = out.ndim - x.ndim
    for axis, size in enumerate(out.shape):
        if node.attrs.get("free") and size != 1 and (axis < shift or x.shape[axis - shift] == 1):
            yield Free((out, axis))


def constant_zero(node: Node) -> Zero:
    return "all" if node.attrs["value"] == 0 else "never"


@operator("ConstantOfShape", zero=constant_zero)
def constant_of_shape(node: Node) -> Iterator[Statement]:
    """All entries are alike, so any may go; how many there are, the size that is asked for says."""
    out = node.outputs[0]
    for axis, size in enumerate(out.shape):
        if size != 1:
            free = Value(f"axis {axis} of {out.name}", (size,), "virtual")
            yield Product((out, axis), ((free, 0),))


@operator("Tile")
def tile(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis, repeats in enumerate(node.attrs["repeats"]):
        if repeats == 1:
            yield Same((out, axis), (x, axis))
        elif x.shape[axis] != 1:
            copies = Value(f"copies made by {node.name}", (repeats,), "virtual")
            yield Fixed((copies, 0), f"{node.where} makes this many copies")
            yield Product((out, axis), ((copies, 0), (x, axis)))


def pad_zero(node: Node) -> Zero:
    """Constants that are padded in are there for removed channels too."""
    return "all" if not node.attrs.get("value") else "never"


@operator("Pad", zero=pad_zero)
def pad(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis, (before, after) in enumerate(node.attrs["pads"]):
        if before == after == 0:
            yield Same((out, axis), (x, axis))
        elif axis in node.attrs.get("added", ()):
            (front, _), (back, _) = node.attrs["added"][axis]
            size = x.shape[axis]
            yield Segment((out, axis), (((x, axis), np.arange(before, before + size)),))
            # What is padded in may go too, where the code can be told to add less.
            yield Segment((out, axis), (((front, 0), np.arange(before)),))
            yield Segment((out, axis), (((back, 0), np.arange(before + size, out.shape[axis])),))
        else:
            reason = f"{node.where} pads this axis"
            yield Fixed((x, axis), reason)
            yield Fixed((out, axis), reason)


@operator("Roll")
def roll(node: Node) -> Iterator[Statement]:
    """The distance is written in the code, and would be another one on a shorter axis."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in node.attrs["axes"]:
        yield Fixed((x, axis), f"{node.where} rolls this axis")
    yield from others(out, x, *node.attrs["axes"])


@operator("DepthToSpace")
def depth_to_space(node: Node) -> Iterator[Statement]:
    """CRD order (torch's pixel shuffle): channel = (channel, block row, block column)."""
    x, out, block = node.inputs[0], node.outputs[0], node.attrs["blocksize"]
    assert x is not None
    yield Same((out, 0), (x, 0))
    inner: Axis = (Value(f"block of {node.name}", (block * block,), "virtual"), 0)
    yield Fixed(inner, f"{node.where} turns these channels into positions")
    crd = node.attrs.get("mode", "DCR") == "CRD"
    yield Product((x, 1), ((out, 1), inner) if crd else (inner, (out, 1)))
    for axis in range(2, x.ndim):
        yield Fixed((x, axis), "a spatial axis")
        yield Fixed((out, axis), "a spatial axis")
