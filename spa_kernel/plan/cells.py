"""Cells: groups whose channels compete with each other; all cells lose the same fraction."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Literal

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.choose import Choice, matching

Spread = Literal["global", "local", "isomorphic"] | Mapping[str, Choice]
"""Which channels are compared with each other; or named scopes, each of some groups."""


def find_cells(coupling: Coupling, spread: Spread) -> np.ndarray:
    """The cell of each group.

    Parameters
    ----------
    coupling : Coupling
    spread : {"global", "local", "isomorphic"} or mapping
        One cell of all groups, one for each group, one for each structure; or the groups that a
        person put together under a name.

    Returns
    -------
    numpy.ndarray
        int64 per group, -1 for groups that are in none of the named scopes.

    Raises
    ------
    InfeasibleTarget
        No such scope, a name that nothing has, or a group in two scopes.
    """
    groups = coupling.groups
    if isinstance(spread, Mapping):
        return named(groups, spread)
    if spread == "global":
        return np.zeros(len(groups), dtype=np.int64)
    if spread == "local":
        return np.arange(len(groups))
    if spread == "isomorphic":
        numbers: dict[object, int] = {}
        keys = structures(coupling)
        return np.array([numbers.setdefault(k, len(numbers)) for k in keys], dtype=np.int64)
    raise InfeasibleTarget(
        f"scope={spread!r}: use 'global', 'local', 'isomorphic', or names for sets of groups, "
        'such as {"early": ["layer1*", "layer2*"], "late": ["layer3*", "layer4*"]}'
    )


def named(groups: list[Group], spread: Mapping[str, Choice]) -> np.ndarray:
    """Cells from named scopes."""
    if not spread:
        raise InfeasibleTarget("scope={} names no scope: leave it out, or name sets of groups")
    position = {group.id: i for i, group in enumerate(groups)}
    cells = np.full(len(groups), -1, dtype=np.int64)
    names = list(spread)
    for number, name in enumerate(names):
        chosen = matching(groups, spread[name], f"scope {name!r}", members=False)
        if not chosen:
            raise InfeasibleTarget(f"scope {name!r} names no group: leave it out, or name groups")
        for hits in chosen:
            for group in hits:
                other = cells[position[group.id]]
                if other not in (-1, number):
                    raise InfeasibleTarget(
                        f"scope: {group.id} ({group.name}) is in {names[other]!r} and in "
                        f"{name!r}: a group competes in one scope only"
                    )
                cells[position[group.id]] = number
    return cells


def structures(coupling: Coupling) -> list[object]:
    """For each group what it is built of, apart from sizes; equal for isomorphic groups.

    Groups that cut the same operands of the same operators along the same axes equally often are
    taken for isomorphic: blocks that repeat are, residual streams of different length are not. The
    ranking inside such sets is that of Isomorphic Pruning (arXiv 2407.04616).
    """
    uses: dict[str, list[tuple[str, int]]] = defaultdict(list)
    for node in coupling.graph.nodes[: coupling.graph.evaluated]:
        for slot, value in enumerate(node.inputs):
            if value is not None and value.stored:
                uses[value.name].append((node.op, slot))
    found: list[object] = []
    for group in coupling.groups:
        touched: Counter[tuple[object, ...]] = Counter()
        for name, axis in group.members:
            labels = coupling.axes[coupling.graph.stored[name], axis]
            # An index that has several labels stands in rows and columns, as that of a head.
            touched.update((*use, axis, labels.shape[1]) for use in uses[name])
        found.append((group.blocks, frozenset(touched.items())))
    return found
