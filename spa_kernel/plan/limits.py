"""What a choice of units must respect: no empty axis, no group below its limit, whole blocks."""

from __future__ import annotations

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.units import Units, from_lists, label_groups

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


def fit(
    units: Units,
    order: np.ndarray,
    groups: np.ndarray,
    limits: np.ndarray,
    most: int | None = None,
) -> np.ndarray:
    """Choose units in order, leaving out each that would exceed a limit.

    Parameters
    ----------
    units : Units
    order : numpy.ndarray
        int64, units to consider, best first.
    groups : numpy.ndarray
        int64, the group of each label.
    limits : numpy.ndarray
        int64, most labels that each group may lose.
    most : int, optional
        Most labels that may go in all.

    Returns
    -------
    numpy.ndarray
        bool (units,).
    """
    chosen = np.zeros(len(units), dtype=bool)
    lengths = units.lengths
    # A family of single channels is one group: its first ones fit, whatever the others do.
    several = np.zeros(int(units.family.max(initial=-1)) + 1, dtype=bool)
    several[units.family[lengths > 1]] = True
    single = order[~several[units.family[order]]]
    group = groups[units.labels[units.starts[single]]]
    chosen[single[rank_within(group) < limits[group]]] = True

    left = limits.copy()
    stopped: set[int] = set()
    for unit in order[several[units.family[order]]].tolist():
        family = int(units.family[unit])
        if family in stopped:
            continue
        labels = units.labels[units.starts[unit] : units.starts[unit] + lengths[unit]]
        taken = np.bincount(groups[labels], minlength=len(left))
        if (taken <= left).all():
            chosen[unit] = True
            left -= taken
        elif units.chained:
            stopped.add(family)
    if most is not None:
        within_total(units, order[chosen[order]], chosen, most)
    return chosen


def within_total(units: Units, order: np.ndarray, chosen: np.ndarray, most: int) -> None:
    """Take back chosen units, in place, so that at most ``most`` labels go."""
    lengths = units.lengths
    if (lengths[order] == 1).all():
        chosen[order[max(most, 0) :]] = False
        return
    stopped: set[int] = set()
    for unit in order.tolist():
        family = int(units.family[unit])
        if lengths[unit] <= most and family not in stopped:
            most -= int(lengths[unit])
            continue
        chosen[unit] = False
        if units.chained:
            stopped.add(family)


def rank_within(group: np.ndarray) -> np.ndarray:
    """For each entry, how many earlier entries are of the same group."""
    order = np.argsort(group, kind="stable")
    ordered = group[order]
    first = np.searchsorted(ordered, ordered)
    rank = np.empty(len(group), dtype=np.int64)
    rank[order] = np.arange(len(group)) - first
    return rank


def in_step(units: Units, order: np.ndarray, groups: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The order in which all groups shrink in step.

    Parameters
    ----------
    units : Units
    order : numpy.ndarray
        int64, units by score, best first.
    groups : numpy.ndarray
        int64, the group of each label.
    sizes : numpy.ndarray
        int64, the number of channels of each group.

    Returns
    -------
    numpy.ndarray
        The same units, by the fraction that their groups have lost once they are gone.
    """
    ordered = units.take(order)
    each = groups[ordered.labels]
    lost = (rank_within(each) + 1) / sizes[each]
    fraction = np.maximum.reduceat(lost, ordered.starts) if len(ordered) else lost
    if units.chained:
        for family in np.unique(ordered.family):
            own = ordered.family == family
            fraction[own] = np.maximum.accumulate(fraction[own])
    result: np.ndarray = order[np.argsort(fraction, kind="stable")]
    return result


def round_to_blocks(
    units: Units,
    order: np.ndarray,
    per_label: np.ndarray,
    groups: np.ndarray,
    sizes: np.ndarray,
    multiple: np.ndarray,
) -> Units:
    """Join units so that widths stay multiples of something.

    Parameters
    ----------
    units : Units
    order : numpy.ndarray
        int64, units to use, best first.
    per_label, groups, sizes : numpy.ndarray
        Score and group of each label; size of each group.
    multiple : numpy.ndarray
        int64 per group: each that loses anything is left with a positive multiple of this.

    Returns
    -------
    Units
        Chained: the first block of a group of 100 may take 4 channels, the others 8.
    """
    lost = np.zeros(len(sizes), dtype=np.int64)
    parts: list[np.ndarray] = []
    ordered = units.take(order)
    by_family = np.argsort(ordered.family, kind="stable")
    cuts = np.flatnonzero(np.diff(ordered.family[by_family])) + 1
    lengths = ordered.lengths
    families: list[int] = []
    for members in np.split(by_family, cuts):
        pending: list[np.ndarray] = []
        touched: set[int] = set()
        for unit in members.tolist():
            labels = ordered.labels[ordered.starts[unit] : ordered.starts[unit] + lengths[unit]]
            of = groups[labels]
            np.add.at(lost, of, 1)
            pending.append(labels)
            touched.update(of.tolist())
            at = np.fromiter(touched, dtype=np.int64)
            width = sizes[at] - lost[at]
            if (width < multiple[at]).any():
                break
            if not (width % multiple[at]).any():
                parts.append(np.concatenate(pending))
                families.append(int(ordered.family[unit]))
                pending, touched = [], set()
    blocks = from_lists(parts, per_label)
    blocks.family = np.array(families, dtype=np.int64)
    blocks.chained = True
    # A later block never comes before an earlier one of its family.
    for family in np.unique(blocks.family):
        own = blocks.family == family
        blocks.score[own] = np.maximum.accumulate(blocks.score[own])
    return blocks


def multiples(coupling: Coupling, multiple: int) -> np.ndarray:
    """What the number of channels of each group must be a multiple of, so that widths are.

    Where channels fall into blocks and some tensor has an axis that is as long as one block
    (head dimensions), it is the length of that axis that counts.
    """
    found = np.full(len(coupling.groups), multiple, dtype=np.int64)
    if coupling.source is None:
        return found
    owner = label_groups(coupling)
    moved = coupling.source != np.arange(coupling.count)
    alike = {id(a): a for (v, _), a in coupling.axes.items() if v.kind == "activation"}
    for labels in alike.values():
        own = owner[labels]
        alone = np.setdiff1d(own, own[moved[labels]])
        for number in alone[alone >= 0]:
            found[number] = multiple * coupling.groups[number].blocks
    return found


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
