"""Whether two criteria would let the same channels go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr


@dataclass(frozen=True, slots=True)
class Agreement:
    """Rank correlation of two criteria.

    Attributes
    ----------
    groups : dict of str to float
        Spearman's coefficient by group id, the least agreement first: 1 where both rank the
        channels alike, 0 where one says nothing of the other, -1 where they are opposed.
    undefined : list of str
        Groups that have scores of both, all equal in one of them.
    overall : float or None
        The same over the channels of all these groups together, as they compete in a plan;
        ``None`` where there is no coefficient.
    """

    groups: dict[str, float]
    undefined: list[str]
    overall: float | None


def agreement(first: Mapping[str, np.ndarray], second: Mapping[str, np.ndarray]) -> Agreement:
    """Compare the scores of two criteria.

    Parameters
    ----------
    first, second : mapping of str to numpy.ndarray
        Group id to scores, as `spa_kernel.session.Session.importance` returns them.
    """
    both = [group for group in first if group in second]
    found = {group: correlation(first[group], second[group]) for group in both}
    defined = {group: value for group, value in found.items() if value is not None}
    pooled = [
        np.concatenate([scores[group] for group in both] or [np.zeros(0)])
        for scores in (first, second)
    ]
    return Agreement(
        groups=dict(sorted(defined.items(), key=lambda entry: entry[1])),
        undefined=[group for group in both if group not in defined],
        overall=correlation(*pooled),
    )


def correlation(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's coefficient; ``None`` where all are equal, or there is only one."""
    if len(first) < 2 or not (np.ptp(first) and np.ptp(second)):
        return None
    return float(spearmanr(first, second).statistic)
