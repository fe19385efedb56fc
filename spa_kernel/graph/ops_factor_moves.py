"""How a factor passes through operators that move entries about."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from spa_kernel.graph.factors import Moved, Relation, Rule, Tied, Unscaled, aligned
from spa_kernel.graph.ir import Node


def gather(node: Node) -> Iterator[Relation]:
    data, indices, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    axis = node.attrs["axis"]
    table = indices.data
    yield Unscaled(indices)
    if table is not None and table.shape == indices.shape:
        yield Moved(out, data, lambda a, _: a.take(table, axis=axis))
    else:
        shift = indices.ndim - 1
        pairs = tuple((i if i < axis else i + shift, i) for i in range(data.ndim) if i != axis)
        yield Tied(out, data, pairs)


def reshape(node: Node) -> Iterator[Relation]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    yield Moved(out, x, lambda a, _: a.reshape(out.shape), lambda a: a.reshape(x.shape))


def transpose(node: Node) -> Iterator[Relation]:
    x, out, perm = node.inputs[0], node.outputs[0], node.attrs["perm"]
    assert x is not None
    back = np.argsort(perm)
    yield Moved(out, x, lambda a, _: a.transpose(perm), lambda a: a.transpose(back))


def slice_(node: Node) -> Iterator[Relation]:
    x, out, index = node.inputs[0], node.outputs[0], node.attrs["index"]
    assert x is not None

    def move(a: np.ndarray, _: int) -> np.ndarray:
        for axis, positions in index.items():
            a = a.take(positions, axis=axis)
        return a

    yield Moved(out, x, move)


def part(axis: int, start: int, stop: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Take a stretch of an axis."""
    return lambda a, _: a[(slice(None),) * axis + (slice(start, stop),)]


def split(node: Node) -> Iterator[Relation]:
    x, axis, start = node.inputs[0], node.attrs["axis"], 0
    assert x is not None
    for out in node.outputs:
        stop = start + out.shape[axis]
        yield Moved(out, x, part(axis, start, stop))
        start = stop


def concat(node: Node) -> Iterator[Relation]:
    """Each part is a stretch of the whole."""
    whole, axis, start = node.outputs[0], node.attrs["axis"], 0
    for value in node.inputs:
        assert value is not None
        stop = start + value.shape[axis]
        yield Moved(value, whole, part(axis, start, stop))
        start = stop


def slice_scatter(node: Node) -> Iterator[Relation]:
    """A stretch comes from the second input, the rest from the first one."""
    base, part, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert base is not None and part is not None
    ((axis, index),) = node.attrs["index"].items()

    def rest(a: np.ndarray, fill: int) -> np.ndarray:
        a = a.copy()
        a[(slice(None),) * axis + (index,)] = fill
        return a

    yield Moved(part, out, lambda a, _: a.take(index, axis=axis))
    yield Moved(out, base, rest)


def assign(node: Node) -> Iterator[Relation]:
    source, out = node.inputs[1], node.outputs[0]
    assert source is not None
    yield Tied(out, source, aligned(out, source))


def expand(node: Node) -> Iterator[Relation]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    yield Tied(out, x, aligned(out, x))


def tile(node: Node) -> Iterator[Relation]:
    x, out, repeats = node.inputs[0], node.outputs[0], node.attrs["repeats"]
    assert x is not None
    yield Moved(out, x, lambda a, _: np.tile(a, repeats))


def pad(node: Node) -> Iterator[Relation] | None:
    x, out, pads = node.inputs[0], node.outputs[0], node.attrs["pads"]
    assert x is not None
    if node.attrs.get("value") or min(min(p) for p in pads) < 0:
        return None
    return iter([Moved(out, x, lambda a, fill: np.pad(a, pads, constant_values=fill))])


def looked_up(node: Node) -> Iterator[Relation]:
    """Any entry of the first input may come to stand anywhere."""
    data, indices, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None and indices is not None
    yield Unscaled(indices)
    yield Tied(out, data, ())


def blocks(node: Node) -> Iterator[Relation]:
    x = node.inputs[0]
    assert x is not None
    yield Tied(node.outputs[0], x, ((0, 0),))


MOVES: dict[str, Rule] = {
    "Reshape": reshape, "Transpose": transpose, "Slice": slice_, "Split": split,
    "Concat": concat, "Expand": expand, "Tile": tile, "Pad": pad, "Gather": gather,
    "SliceScatter": slice_scatter, "Assign": assign, "DepthToSpace": blocks,
    "GatherElements": looked_up, "aten.gather": looked_up,
}  # fmt: skip
