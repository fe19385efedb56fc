"""Recurrent layers: one node for all time steps of one layer in one direction."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import (
    Contract,
    Fixed,
    Product,
    Same,
    Statement,
    Zero,
    operator,
)

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def recurrent_flops(node: Node) -> tuple[int, list[Axis]]:
    """The product of the state with the recurrent weight, at each step of each sequence."""
    gates, weight = node.inputs[0], node.inputs[1]
    assert gates is not None and weight is not None
    rows: list[Axis] = [(gates, axis) for axis in range(gates.ndim - 1)]
    return 2, [*rows, (weight, 0), (weight, 1)]


@operator("LSTM", "GRU", "RNN", flops=recurrent_flops)
def recurrent(node: Node) -> Iterator[Statement]:
    """Inputs: gates from below, recurrent weight, its bias, h0, c0, projection.

    Outputs: hidden units at each step before the projection, last state, last cell. The first
    input is the product of the layer's input with its weight (and bias), all gates one behind
    the other. A unit whose rows are zero in every gate keeps a state of zero from a state of
    zero: no gate opens for it.
    """
    below, weight, bias, state, cell, projection = (*node.inputs, *(None,) * 5)[:6]
    assert below is not None and weight is not None
    steps, last = node.outputs[0], node.outputs[1]
    gate = Value(f"gates of {node.name}", (GATES[node.op],), "virtual")
    yield Fixed((gate, 0), f"the gates of {node.where}", quiet=True)
    units = [out for out in node.outputs if projection is None or out is not last]
    for out in units:
        unit: Axis = (out, out.ndim - 1)
        for value, axis in ((below, below.ndim - 1), (weight, 0), (bias, 0)):
            if value is not None:
                yield Product((value, axis), ((gate, 0), unit))
        for start in (cell, None if projection is not None else state):
            if start is not None:
                yield Same(unit, (start, start.ndim - 1))
        if projection is not None:
            yield Same(unit, (projection, 1))
    end: Axis = (last, last.ndim - 1)
    if projection is not None:
        yield Same(end, (projection, 0))
        if state is not None:
            yield Same(end, (state, state.ndim - 1))
    yield Contract((weight, 1), end if projection is None else (projection, 0))
    yield from sequence(node, below, steps)


def input_flops(node: Node) -> tuple[int, list[Axis]]:
    x, weight = node.inputs[0], node.inputs[1]
    assert x is not None and weight is not None
    return 2, [(x, 0), (x, 1), (weight, 0), (weight, 1), (weight, 2)]


@operator("RecurrentInput", flops=input_flops)
def recurrent_input(node: Node) -> Iterator[Statement]:
    """The input of a `RecurrentLayer` times its weight (direction, gates · units, features)."""
    x, weight, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and weight is not None
    yield Contract((x, 2), (weight, 2))
    for axis, source in enumerate(((x, 0), (x, 1), (weight, 0), (weight, 1))):
        yield Same((out, axis), source)


def layer_flops(node: Node) -> tuple[int, list[Axis]]:
    below, weight = node.inputs[0], node.inputs[1]
    assert below is not None and weight is not None
    return 2, [(below, 0), (below, 1), (weight, 0), (weight, 1), (weight, 2)]


@operator("RecurrentLayer", flops=layer_flops)
def recurrent_layer(node: Node) -> Iterator[Statement]:
    """All directions at once, as in ONNX: a unit goes in each of them.

    Inputs: what comes from a `RecurrentInput`, (time, batch) or (batch, time), direction, gates ·
    units; recurrent weight (direction, gates · units, units); its bias, twice as long, of input and
    state; h0, c0; peepholes (direction, 3 · units); lengths of sequences. ``units``: a virtual
    axis; ``gates``: how many; ``places``: for outputs and states the axes of directions and of the
    batch.
    A unit whose entries are zero everywhere keeps a state of zero from a state of zero.
    """
    below, weight, bias, state, cell, peepholes, lengths = node.inputs
    assert below is not None and weight is not None
    unit: Axis = (node.attrs["units"], 0)
    gates, batch = node.attrs["gates"], node.attrs["batch"]
    parts = ((below, 3, gates), (weight, 1, gates), (bias, 1, 2 * gates), (peepholes, 1, 3))
    for value, axis, count in parts:
        if value is not None:
            gate = Value(f"gates of {node.name}", (count,), "virtual")
            yield Fixed((gate, 0), f"the gates of {node.where}", quiet=True)
            yield Product((value, axis), ((gate, 0), unit))
            yield Fixed((value, 2 if value is below else 0), f"the directions of {node.where}")
    yield Contract((weight, 2), unit)
    yield Fixed((below, 1 - batch), f"{node.where} runs along this axis")
    for value in (*node.outputs, state, cell):
        if value is None:
            continue
        ways, samples = node.attrs["places"][value]
        yield Same((value, value.ndim - 1), unit)
        yield Same((value, samples), (below, batch))
        for axis in range(value.ndim - 1):
            if axis != samples:
                reason = "the directions of" if axis == ways else "an axis that belongs to"
                yield Fixed((value, axis), f"{reason} {node.where}")
    if lengths is not None:
        yield Same((lengths, 0), (below, batch))


def sequence(node: Node, below: Value, steps: Value) -> Iterator[Statement]:
    """The axes before the units: time is mixed, entries of a batch are not."""
    for axis in range(below.ndim - 1):
        if axis == node.attrs["batch"]:
            yield Same((steps, axis), (below, axis))
            for out in node.outputs[1:]:
                yield Same((out, 0), (below, axis))
            for start in node.inputs[3:5]:
                if start is not None:
                    yield Same((below, axis), (start, 0))
        else:
            yield Fixed((below, axis), f"{node.where} runs along this axis")
            yield Fixed((steps, axis), f"{node.where} runs along this axis")


def packing_zero(node: Node) -> Zero:
    """What fills up the shorter sequences is there for removed channels too."""
    return "all" if not node.attrs.get("value") else "never"


@operator("PackSequence", "PadSequence", zero=packing_zero)
def rearranged(node: Node) -> Iterator[Statement]:
    """Sequences are laid end to end or side by side; their features stay what they are."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    features = node.attrs["features"]
    for axis in range(x.ndim - features):
        yield Fixed((x, axis), f"{node.where} rearranges this axis")
    for axis in range(1, features + 1):
        yield Same((out, out.ndim - axis), (x, x.ndim - axis))
