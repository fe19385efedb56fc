"""From which groups to which data flows."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Node, Value

Numbers = frozenset[int]
NONE: Numbers = frozenset()


class Carried:
    """Which groups (by number) have channels on a value; each array of labels is read once."""

    def __init__(self, coupling: Coupling) -> None:
        self.coupling = coupling
        self.owner = np.full(coupling.count + 1, -1)
        for number, group in enumerate(coupling.groups):
            self.owner[group.labels] = number
        self._arrays: dict[int, Numbers] = {}
        self._values: dict[Value, Numbers] = {}
        self._sets: dict[Numbers, Numbers] = {NONE: NONE}
        self._families = _families(coupling, self.owner)

    @cached_property
    def stored(self) -> set[Value]:
        """What is made of stored tensors and constants alone; a transposed weight is a weight."""
        graph = self.coupling.graph
        data = set(graph.inputs)
        found = set(graph.stored.values())
        for node in graph.nodes:
            if any(v in data for v in node.inputs if v is not None):
                data.update(node.outputs)
            else:
                found.update(node.outputs)
        return found

    @cached_property
    def seen_by(self) -> dict[int, list[Node]]:
        """By group, the operators that see its channels, in order."""
        found: dict[int, list[Node]] = defaultdict(list)
        for node in self.coupling.graph.nodes:
            values = (v for v in (*node.inputs, *node.outputs) if v is not None)
            for group in self.union(self.value(v) for v in values):
                found[group].append(node)
        return found

    def axis(self, value: Value, axis: int) -> Numbers:
        """Groups on one axis."""
        labels = self.coupling.axes.get((value, axis))
        if labels is None:
            return NONE
        found = self._arrays.get(id(labels))
        if found is None:
            numbers = set(self.owner[labels].ravel().tolist())
            numbers.discard(-1)
            found = self._arrays[id(labels)] = self.same(numbers)
        return found

    def value(self, value: Value) -> Numbers:
        """Groups on any axis."""
        found = self._values.get(value)
        if found is None:
            found = self.union(self.axis(value, a) for a in range(value.ndim))
            self._values[value] = found
        return found

    def told(self, groups: Numbers, come: Numbers) -> Numbers:
        """Which groups are meant, where blocks choose apart and data has the labels of the first.

        Parameters
        ----------
        groups : frozenset
            By the labels.
        come : frozenset
            What the operands have.
        """
        if not any(g in self._families and g not in come for g in groups):
            return groups
        found: set[int] = set()
        for group in groups:
            family = self._families.get(group, NONE)
            found |= {group} if group in come else family & come or {group}
        return self.same(found)

    def same(self, numbers: Iterable[int]) -> Numbers:
        """One object for equal sets, so that they are compared at once."""
        made = frozenset(numbers)
        return self._sets.setdefault(made, made)

    def union(self, sets: Iterable[Numbers]) -> Numbers:
        """What is in any of these."""
        different = {id(s): s for s in sets if s}
        if len(different) < 2:
            return next(iter(different.values()), NONE)
        return self.same(NONE.union(*different.values()))


def _families(coupling: Coupling, owner: np.ndarray) -> dict[int, Numbers]:
    """For each group, those whose labels were the same before blocks were given a choice."""
    if coupling.source is None:
        return {}
    members: dict[int, set[int]] = defaultdict(set)
    for shared, group in zip(coupling.source.tolist(), owner[:-1].tolist(), strict=True):
        if group >= 0:
            members[shared].add(group)
    found: dict[int, set[int]] = defaultdict(set)
    for groups in members.values():
        if len(groups) > 1:
            for group in groups:
                found[group] |= groups
    return {group: frozenset(groups) for group, groups in found.items()}


@dataclass
class Flow:
    """Data flow between groups; the model's inputs and outputs have numbers after theirs.

    Attributes
    ----------
    carried : Carried
    pairs : set of (int, int)
    order : list of int
        By group, its rank among all, as their channels are made.
    operators : list of set of str
        By group, the kinds of operators that see its channels.
    shapes : list of tuple of int
        By group, the sizes of the other axes where its channels are made first.
    """

    carried: Carried
    pairs: set[tuple[int, int]]
    order: list[int]
    operators: list[set[str]]
    shapes: list[tuple[int, ...]]


def flow(coupling: Coupling) -> Flow:
    """Follow the data from the inputs to the outputs.

    A group's channels are made where a result has them and no operand does; they come from the
    groups of the operands, or where these have none, from the groups that those were made of.
    """
    graph, carried = coupling.graph, Carried(coupling)
    count = len(coupling.groups)
    born_at: dict[int, tuple[int, tuple[int, ...]]] = {}
    seen: dict[Numbers, set[str]] = defaultdict(set)
    pairs: set[tuple[int, int]] = set()
    # Of data: the groups on it, and those it was last made of. Of what is made of weights alone:
    # the latter.
    on: dict[Value, Numbers] = {v: carried.value(v) for v in graph.inputs}
    data = {v: carried.same({count + i}) for i, v in enumerate(graph.inputs)}
    weights: dict[Value, Numbers] = {}
    for at, node in enumerate(graph.nodes):
        operands = [v for v in node.inputs if v is not None]
        given = [v for v in operands if v in data]
        stored = carried.union(
            weights.get(v, NONE) or carried.value(v) for v in operands if v not in data
        )
        if not given:
            weights.update((v, stored) for v in node.outputs)
            continue
        come = carried.union(data[v] for v in given)
        has = carried.union(on[v] for v in given)
        for result in node.outputs:
            on[result] = carried.told(carried.value(result), has | stored)
        made = carried.union(on[v] for v in node.outputs)
        seen[carried.union((has, made))].add(node.op)
        born = made - has
        for group in born:
            pairs.update((other, group) for other in come if other != group)
            if group not in born_at:
                born_at[group] = at, _others(carried, node, group)
        # What a product sums away, and tables that are added, go into what is left.
        ended = stored - has - made
        if len(given) > 1 and not born:
            ended |= come - made
        pairs.update((other, group) for other in ended for group in made if other != group)
        for result in node.outputs:
            data[result] = on[result] or made or carried.union((come, carried.same(stored - has)))
    for i, value in enumerate(graph.outputs):
        found = data.get(value, NONE)
        pairs.update((g, count + len(graph.inputs) + i) for g in found)
    operators: list[set[str]] = [set() for _ in range(count)]
    for numbers, ops in seen.items():
        for group in numbers:
            operators[group] |= ops
    shapes = [born_at[g][1] if g in born_at else () for g in range(count)]
    return Flow(carried, pairs, _order(carried, born_at), operators, shapes)


def _others(carried: Carried, node: Node, group: int) -> tuple[int, ...]:
    """Sizes of the axes of a result without labels, where one of its axes has this group."""
    for value in node.outputs:
        if group in carried.value(value):
            return tuple(n for a, n in enumerate(value.shape) if not carried.axis(value, a))
    return ()


def _order(carried: Carried, born_at: dict[int, tuple[int, tuple[int, ...]]]) -> list[int]:
    """Groups in the order in which they are made, as ranks.

    Those that no data has stand where an operator reads their weights first.
    """
    coupling = carried.coupling
    first = {group: at for group, (at, _) in born_at.items()}
    missing = set(range(len(coupling.groups))) - first.keys()
    for at, node in enumerate(coupling.graph.nodes if missing else ()):
        for value in node.inputs:
            if value is not None and value.stored:
                for group in carried.value(value) & missing:
                    first[group] = at
                    missing.discard(group)
    sequence = sorted(range(len(coupling.groups)), key=lambda g: (first.get(g, math.inf), g))
    ranks = [0] * len(sequence)
    for rank, group in enumerate(sequence):
        ranks[group] = rank
    return ranks
