"""Widths that are multiples of something."""

from __future__ import annotations

from typing import Literal

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.plan.units import Units, from_lists, label_groups

Rounding = Literal["nearest", "up", "down"]
"""Which multiple a width becomes: the nearest, the next above, or the next below."""


def rounded(
    sizes: np.ndarray, lost: np.ndarray, multiple: np.ndarray, rounding: Rounding
) -> np.ndarray:
    """Losses after which each width is a multiple, or what it was.

    Parameters
    ----------
    sizes, lost, multiple : numpy.ndarray
        int64 per group: its channels, how many of them would go, what to make its width a
        multiple of.
    rounding : {"nearest", "up", "down"}

    Returns
    -------
    numpy.ndarray
        int64 per group. At least one multiple stays; a group that loses nothing stays whole.
    """
    width = sizes - lost
    below = np.maximum(width // multiple, 1) * multiple
    above = np.minimum(-(-width // multiple) * multiple, sizes)
    nearer = width - below < above - width
    down = {"nearest": nearer, "up": width < below, "down": lost > 0}[rounding]
    found: np.ndarray = np.maximum(sizes - np.where(down, below, above), 0)
    return found


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
