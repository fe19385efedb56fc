"""What cannot go, and why."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np

from spa_kernel.coupling.result import UNUSED, Coupling


@dataclass(frozen=True, slots=True)
class Frozen:
    """Channels that cannot go.

    Attributes
    ----------
    group, name : str
        Id and name of their group; the parameter's name, and no id, for one that is not used.
    size : int
        How many they are.
    reason : str
    params : int
        Parameters that these channels hold in place.
    """

    group: str
    name: str
    size: int
    reason: str
    params: int


def frozen(coupling: Coupling) -> list[Frozen]:
    """All that cannot go; what holds most parameters in place comes first."""
    found = []
    parameters = {v.name: v for v in coupling.graph.parameters}
    for group in coupling.groups:
        if not group.prunable:
            removed = np.zeros(coupling.count, dtype=bool)
            removed[group.labels] = True
            values = {parameters[n] for n, _ in group.members if n in parameters}
            held = sum(prod(v.shape) - prod(coupling.shape(v, removed)) for v in values)
            found.append(Frozen(group.id, group.name, group.size, group.reason, held))
    for value in coupling.graph.parameters:
        if coupling.fixed.get((value, 0)) == UNUSED:
            found.append(Frozen("", value.name, value.shape[0], UNUSED, prod(value.shape)))
    return sorted(found, key=lambda f: -f.params)
