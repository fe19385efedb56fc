"""Peak activation memory: bytes of live tensors at the worst moment of one forward.

Counted as a memory planner would. A tensor lives from the operator that makes it up to the last
operator that reads it; inputs of the network live from the start up to their last reader, outputs
up to the end. Views and writes in place count with the tensor whose memory they lie in, once.
Parameters, buffers and constants are not counted, nor is what an operator needs inside.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.terms import Terms

SHARING = ("Identity", "Reshape")
"""Operators whose output lies in the memory of the input, where a front end says nothing."""

MOMENTS = 64
"""How many of the worst moments are looked at for what may come back."""


class PeakMemory:
    """Peak activation memory in bytes, as a `Measure`.

    Parameters
    ----------
    graph : Graph
    axes : DistinctAxes
    """

    name = "memory"

    def __init__(self, graph: Graph, axes: DistinctAxes) -> None:
        lives = lifetimes(graph)
        self.axes = axes
        self.terms = Terms(
            axes, [(itemsize(v.dtype), [(v, a) for a in range(v.ndim)]) for v in lives]
        )
        self.first, self.last = np.array(list(lives.values()), dtype=np.int64).reshape(-1, 2).T
        self.steps = int(self.last.max(initial=0)) + 1
        self.base = self.count(np.zeros(axes.count, dtype=bool))

    def levels(self, each: np.ndarray) -> np.ndarray:
        """Bytes that are alive at every step, from the bytes of each tensor."""
        change = np.zeros(self.steps + 1, dtype=each.dtype)
        np.add.at(change, self.first, each)
        np.subtract.at(change, self.last + 1, each)
        return np.cumsum(change)[:-1]

    def count(self, removed: np.ndarray) -> int:
        """Bytes at the worst moment."""
        return int(self.levels(self.terms.each(self.axes.sizes(removed))).max())

    def slope(self, removed: np.ndarray) -> np.ndarray:
        """First-order bytes of each label, see `Measure.slope`.

        What is there can save no more than it takes at the moment that is the worst one now.
        What is gone costs the most that it brings about at any of the worst `MOMENTS`.
        """
        sizes = self.axes.sizes(removed)
        levels = self.levels(self.terms.each(sizes)).astype(np.float64)
        beside = np.pad(levels, 1, constant_values=-1)
        tops = np.flatnonzero((levels > beside[:-2]) & (levels >= beside[2:]))
        tops = tops[np.argsort(-levels[tops], kind="stable")][:MOMENTS]
        alive = (self.first <= tops[:, None]) & (tops[:, None] <= self.last)
        # (moments, axes): bytes that one more index takes.
        rates = (self.terms.slopes(sizes).T @ alive.T).T
        slope = self.axes.weigh(removed, rates[0])
        above = self.axes.returning(removed)[removed] @ rates.T + levels[tops] - levels[tops[0]]
        slope[removed] = above.max(axis=1)
        return slope


def lifetimes(graph: Graph) -> dict[Value, tuple[int, int]]:
    """First and last operator during which each tensor that has memory of its own is alive."""
    nodes = graph.nodes[: graph.evaluated]
    owner: dict[Value, Value] = {}
    inner: dict[Value, Node] = {}
    first = dict.fromkeys(graph.inputs, 0)
    last: dict[Value, int] = {}

    def read(values: tuple[Value | None, ...]) -> Iterator[Value]:
        """The tensors behind some operands."""
        for value in values:
            if value in inner:
                yield from read(inner[value].inputs)
            elif value is not None:
                yield owner.get(value, value)

    for step, node in enumerate(nodes):
        last.update(dict.fromkeys(read(node.inputs), step))
        for value in node.outputs:
            source = value
            if graph.memory is not None:
                lies_in = graph.memory.get(value, value)
                if lies_in is None:
                    inner[value] = node
                    continue
                source = lies_in
            elif node.op in SHARING and node.inputs[0] is not None:
                source = node.inputs[0]
            owner[value] = own = owner.get(source, source)
            first.setdefault(own, step)
            last[own] = step
    last.update(dict.fromkeys(read(tuple(graph.outputs)), len(nodes) - 1))
    return {
        value: (first[value], step)
        for value, step in last.items()
        if value in first and value.kind in ("activation", "input")
    }


def itemsize(dtype: str) -> int:
    """Bytes of one element, by the digits of a type's name: 2 for ``"bfloat16"``, 1 for bool."""
    bits = re.search(r"\d+", dtype)
    return max(1, int(bits[0]) // 8) if bits else 1
