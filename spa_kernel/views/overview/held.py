"""How many parameters hang on each group."""

from __future__ import annotations

from math import prod

import numpy as np

from spa_kernel.views.overview.flow import Carried


def held(carried: Carried) -> list[int]:
    """By group, the parameters that go if all of its channels do."""
    coupling = carried.coupling
    lost: dict[int, dict[int, int]] = {}

    def indices(labels: np.ndarray) -> dict[int, int]:
        """How many indices go with each group: those with any of its labels."""
        found = lost.get(id(labels))
        if found is None:
            rows = np.repeat(np.arange(len(labels)), labels.shape[1])
            both = np.unique(np.stack([rows, carried.owner[labels].ravel()]), axis=1)
            groups, numbers = np.unique(both[1], return_counts=True)
            found = dict(zip(groups.tolist(), numbers.tolist(), strict=True))
            lost[id(labels)] = found
        return found

    total = [0] * len(coupling.groups)
    for value in coupling.graph.parameters:
        axes = [coupling.axes.get((value, a)) for a in range(value.ndim)]
        gone = [indices(labels) if labels is not None else {} for labels in axes]
        groups = {group for numbers in gone for group in numbers if group >= 0}
        for group in groups:
            left = prod(n - g.get(group, 0) for n, g in zip(value.shape, gone, strict=True))
            total[group] += prod(value.shape) - left
    return total
