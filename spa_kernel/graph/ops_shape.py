"""Operators that move axes and indices about: reshape, transpose, concat, slice, gather, pad."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import Fixed, Product, Same, Segment, Statement, Zero, operator
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
        if node.attrs.get("step", 1) != 1:
            yield Fixed((x, axis), f"{node.where} takes every {node.attrs['step']}. index")
        yield Segment((x, axis), (((out, axis), index),))
        for stretch, position in node.attrs.get("borders", ()):
            # A literal position counts the indices in front of it (or behind it).
            size = x.shape[axis]
            index = np.arange(position) if position > 0 else np.arange(size + position, size)
            yield Segment((x, axis), (((stretch, 0), index),))
    yield from others(out, x, *node.attrs["index"])


@operator("Gather")
def gather(node: Node) -> Iterator[Statement]:
    """An index table that is known says where each index comes from; others only look up."""
    data, indices, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    axis = node.attrs["axis"]
    rewritable = not (indices.stored or node.attrs.get("literal"))
    if indices.ndim == 1 and indices.data is not None and rewritable:
        yield Segment((data, axis), (((out, axis), indices.data),))
    else:
        yield Fixed((data, axis), f"{node.where} looks up entries along this axis")
        for i in range(indices.ndim):
            yield Same((out, axis + i), (indices, i))
    for i in range(data.ndim):
        if i < axis:
            yield Same((out, i), (data, i))
        elif i > axis:
            yield Same((out, i - 1 + indices.ndim), (data, i))


@operator("Expand")
def expand(node: Node) -> Iterator[Statement]:
    return broadcast(node, node.inputs[0])


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
