"""Operators that look entries up, or write them, at positions that are worked out at run time."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.operators import Fixed, Same, Statement, operator
from spa_kernel.graph.ops_elementwise import names, same_shape

POSITION = "positions along this axis are worked out at run time"


@operator(
    *names("Sort TopK CumProd CumMax CumMin CumLogSumExp CrossProduct Renorm SearchSorted Affine"),
    zero="never",
)
@operator("FFT", "Triangle", "MatrixFunction")
def along_axis(node: Node) -> Iterator[Statement]:
    """``axes``: the axes that are worked through."""
    x = node.inputs[0]
    assert x is not None
    axes = node.attrs["axes"]
    for value in (*node.inputs, *node.outputs):
        if value is not None and value.ndim == x.ndim:
            for axis in axes:
                yield Fixed((value, axis), f"{node.where} works along this axis as a whole")
    rest = tuple(i for i in range(x.ndim) if i not in axes)
    yield from same_shape(node, rest)
    for value in node.inputs[1:]:
        if value is not None and value.ndim == x.ndim:
            for axis in rest:
                if value.shape[axis] == x.shape[axis] != 1:
                    yield Same((value, axis), (x, axis))


@operator("GatherElements", "ScatterElements")
def elements(node: Node) -> Iterator[Statement]:
    """Entries are taken from, or put to, other places along one axis only.

    Inputs: data, indices, and for scattering the entries that are put.
    """
    data, axis, out = node.inputs[0], node.attrs["axis"], node.outputs[0]
    assert data is not None
    for value in (*node.inputs, out):
        if value is None:
            continue
        for i in range(value.ndim):
            if i == axis and value is not out:
                yield Fixed((value, i), f"{node.where}: {POSITION}")
            elif i != axis and value is not out and value.shape[i] == data.shape[i]:
                yield Same((out, i), (value, i))
            elif i != axis and value.shape[i] != data.shape[i]:
                # Only the first ones take part: how many is for the code to say.
                yield Fixed((data, i), f"{node.where} takes part of this axis")
                yield Fixed((value, i), f"{node.where} takes part of this axis")
    yield Fixed((out, axis), f"{node.where}: {POSITION}")


@operator("IndexAdd")
def index_add(node: Node) -> Iterator[Statement]:
    """Slices are added to (or put in place of) those at positions along one axis.

    Inputs: data, positions, slices.
    """
    data, axis, out = node.inputs[0], node.attrs["axis"], node.outputs[0]
    assert data is not None
    for value in (data, *node.inputs[2:]):
        for i in range(value.ndim if value is not None else 0):
            assert value is not None
            if i == axis:
                yield Fixed((value, i), f"{node.where}: {POSITION}")
            elif value.ndim == out.ndim:
                yield Same((out, i), (value, i))
    yield Fixed((out, axis), f"{node.where}: {POSITION}")
    yield from fixed_tables(node, node.inputs[1:2])


def fixed_tables(node: Node, tables: tuple[Value | None, ...]) -> Iterator[Statement]:
    """Index tables lose nothing: what their entries stand for is not known."""
    for table in tables:
        for i in range(table.ndim if table is not None else 0):
            assert table is not None
            yield Fixed((table, i), f"{node.where}: {POSITION}")


def looked_up(rank: int, indexed: tuple[int, ...], width: int) -> list[int | None]:
    """For each axis of ``x[..., i, j]`` the axis of x that it is, or ``None`` for the tables'.

    Parameters
    ----------
    rank : int
        Number of axes of x.
    indexed : tuple of int
        The axes of x that tables stand for.
    width : int
        Number of axes of the tables, broadcast.
    """
    rest: list[int | None] = [i for i in range(rank) if i not in indexed]
    together = list(indexed) == list(range(indexed[0], indexed[-1] + 1))
    at = indexed[0] if together else 0
    return rest[:at] + [None] * width + rest[at:]


@operator("IndexGet")
def index_get(node: Node) -> Iterator[Statement]:
    """Inputs: data, tables. ``indexed``: which axes the tables stand for."""
    data, out = node.inputs[0], node.outputs[0]
    assert data is not None
    indexed = node.attrs["indexed"]
    for axis in indexed:
        yield Fixed((data, axis), f"{node.where} looks up entries along this axis")
    yield from fixed_tables(node, node.inputs[1:])
    width = out.ndim - (data.ndim - len(indexed))
    for i, source in enumerate(looked_up(data.ndim, indexed, width)):
        if source is not None:
            yield Same((out, i), (data, source))


@operator("IndexPut")
def index_put(node: Node) -> Iterator[Statement]:
    """Inputs: data, what is put there (broadcast), tables."""
    data, put, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert data is not None
    indexed = node.attrs["indexed"]
    for axis in range(data.ndim):
        if axis in indexed:
            yield Fixed((data, axis), f"{node.where}: {POSITION}")
        yield Same((out, axis), (data, axis))
    yield from fixed_tables(node, node.inputs[2:])
    if put is None:
        return
    places = looked_up(data.ndim, indexed, node.attrs["width"])
    for i in range(put.ndim):
        place = places[len(places) - put.ndim + i]
        if place is None:
            yield Fixed((put, i), f"{node.where}: {POSITION}")
        elif put.shape[i] == data.shape[place]:
            yield Same((out, place), (put, i))


@operator("CumSum", zero="never")
def scan(node: Node) -> Iterator[Statement]:
    x, out, axis = node.inputs[0], node.outputs[0], node.attrs["axis"]
    assert x is not None
    for value in (x, out):
        yield Fixed((value, axis), f"{node.where} adds up along this axis")
    yield from same_shape(node, tuple(i for i in range(x.ndim) if i != axis))


@operator("MaskedScatter", zero="every")
def masked_scatter(node: Node) -> Iterator[Statement]:
    """Inputs: data, mask, entries that fill the masked places in order.

    ``rows``: the mask is the same along the last axis.
    """
    data, mask, source = node.inputs[:3]
    out = node.outputs[0]
    assert data is not None and mask is not None and source is not None
    last = out.ndim - 1
    whole = node.attrs.get("rows") and source.ndim and source.shape[-1] == out.shape[-1]
    for value in (data, mask, source):
        for axis in range(value.ndim):
            if not whole or axis < value.ndim - 1:
                yield Fixed((value, axis), f"{node.where}: {POSITION}")
            else:
                yield Same((out, last), (value, axis))
    for axis in range(out.ndim - 1 if whole else out.ndim):
        yield Fixed((out, axis), f"{node.where}: {POSITION}")


@operator("EmbeddingBag")
def embedding_bag(node: Node) -> Iterator[Statement]:
    table, out = node.inputs[0], node.outputs[0]
    assert table is not None
    yield Fixed((table, 0), f"{node.where} looks up entries along this axis")
    yield from fixed_tables(node, node.inputs[1:])
    yield Same((out, 1), (table, 1))
