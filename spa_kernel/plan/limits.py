"""What a choice of units must respect: no empty axis, no group or cell below its limit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_matrix

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.units import Units

NEVER = np.iinfo(np.int64).max


def portion(size: int, ratio: float) -> int:
    """``floor(ratio * size)``, where 0.29 of 100 is 29."""
    return int(np.floor(ratio * size + 1e-9))


def never_empty(axes: DistinctAxes, units: Units, order: np.ndarray) -> np.ndarray:
    """Units that can all go without emptying any axis.

    Parameters
    ----------
    axes : DistinctAxes
    units : Units
    order : numpy.ndarray
        int64, all units, those to go first in front. Of each axis, the unit that would take
        the last index stays.

    Returns
    -------
    numpy.ndarray
        bool (units,). Any choice among these leaves every axis at least one index.
    """
    turn = np.empty(len(units), dtype=np.int64)
    turn[order] = np.arange(len(units))
    allowed = np.ones(len(units), dtype=bool)
    while True:
        when = np.full(axes.count, NEVER)
        when[units.labels] = np.where(allowed, turn, NEVER)[units.owner]
        last = [
            np.maximum.reduceat(when[part.rows].min(axis=1), part.starts) for part in axes.blocks
        ]
        turns = np.unique(np.concatenate([*last, np.zeros(0, dtype=np.int64)]))
        emptying = turns[turns < NEVER]
        if not emptying.size:
            return allowed
        allowed[order[emptying]] = False


Cap = tuple[np.ndarray, np.ndarray]
"""The owner (a group, a scope) of each label, and how many labels each owner may lose."""


def fit(units: Units, order: np.ndarray, caps: Sequence[Cap]) -> np.ndarray:
    """Choose units in order, leaving out each that would exceed a limit.

    Parameters
    ----------
    units : Units
    order : numpy.ndarray
        int64, units to consider, best first.
    caps : sequence of (numpy.ndarray, numpy.ndarray)
        int64 per label and int64 per owner; owners of the last cap are unions of earlier ones'.

    Returns
    -------
    numpy.ndarray
        bool (units,).
    """
    chosen = np.zeros(len(units), dtype=bool)
    whole, most = caps[-1]
    # Where only single channels go, the first ones fit, whatever others do.
    mixed = np.full(len(most), units.chained)
    mixed[whole[units.labels[np.repeat(units.lengths, units.lengths) > 1]]] = True
    first = units.labels[units.starts]
    single = order[~mixed[whole[first[order]]]]
    for owner, limits in caps:
        own = owner[first[single]]
        single = single[rank_within(own) < limits[own]]
    chosen[single] = True
    rest = order[mixed[whole[first[order]]]]
    chosen[rest[one_by_one(units.take(rest), caps)]] = True
    return chosen


def one_by_one(units: Units, caps: Sequence[Cap]) -> np.ndarray:
    """Indices of the units that fit, as `fit`, for units of any length in their order."""
    starts = np.cumsum([0, *(len(limits) for _, limits in caps)])
    slots = [owner[units.labels] + start for (owner, _), start in zip(caps, starts, strict=False)]
    entries = np.ones(len(units.labels) * len(caps), dtype=np.int64)
    where = (np.tile(units.owner, len(caps)), np.concatenate(slots))
    takes = coo_matrix((entries, where), shape=(len(units), int(starts[-1]))).tocsr()
    ends, slot, amount = takes.indptr.tolist(), takes.indices.tolist(), takes.data.tolist()
    left = np.concatenate([limits for _, limits in caps]).tolist()
    family = units.family.tolist()
    stopped: set[int] = set()
    fitting = []
    for unit in range(len(units)):
        if family[unit] in stopped:
            continue
        needs = range(ends[unit], ends[unit + 1])
        if all(amount[k] <= left[slot[k]] for k in needs):
            for k in needs:
                left[slot[k]] -= amount[k]
            fitting.append(unit)
        elif units.chained:
            stopped.add(family[unit])
    return np.array(fitting, dtype=np.int64)


def rank_within(group: np.ndarray) -> np.ndarray:
    """For each entry, how many earlier entries are of the same group."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.searchsorted(ordered, ordered)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - first
    return rank


def in_step(units: Units, order: np.ndarray, cells: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The order in which all cells shrink in step.

    Parameters
    ----------
    units : Units
    order : numpy.ndarray
        int64, units by score, best first.
    cells : numpy.ndarray
        int64, the cell of each label.
    sizes : numpy.ndarray
        float64, the number of channels of each cell.

    Returns
    -------
    numpy.ndarray
        The same units, by the fraction that their cells have lost once they are gone.
    """
    ordered = units.take(order)
    each = cells[ordered.labels]
    lost = (rank_within(each) + 1) / sizes[each]
    fraction = np.maximum.reduceat(lost, ordered.starts) if len(ordered) else lost
    if units.chained:
        for family in np.unique(ordered.family):
            own = ordered.family == family
            fraction[own] = np.maximum.accumulate(fraction[own])
    result: np.ndarray = order[np.argsort(fraction, kind="stable")]
    return result


def check_removed(coupling: Coupling, axes: DistinctAxes, removed: np.ndarray) -> None:
    """Raise `InfeasibleTarget` where a choice of labels cannot be carried out on this model."""
    if (removed & coupling.frozen).any():
        label = int(np.flatnonzero(removed & coupling.frozen)[0])
        raise InfeasibleTarget(
            "the plan removes a channel that cannot go: "
            + coupling.reasons.get(label, "it is frozen")
        )
    for constraint in coupling.constraints:
        if int(constraint.coefficients @ removed[constraint.labels]):
            raise InfeasibleTarget(
                f"the plan breaks a condition on counts: {constraint.reason}. Make a new plan for "
                "this model"
            )
    empty = np.flatnonzero(axes.sizes(removed) < 1)
    if empty.size:
        (value, axis) = next(a for a, n in axes.number.items() if n == empty[0])
        raise InfeasibleTarget(f"the plan leaves nothing of axis {axis} of {value.name!r}")
