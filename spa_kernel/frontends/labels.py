"""One network in two graphs: the coupled channels of the one are carried over to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import UnsupportedOperator
from spa_kernel.graph.ir import Axis

REASON = "it is no channel of the model itself"
"""Why a label of the other graph alone never goes."""


def carried_over(native: Coupling, other: Coupling, names: Mapping[str, str]) -> Coupling:
    """Label the axes of another graph with the coupled channels of the model itself.

    Each label of the other graph marks indices of stored tensors; it becomes the smallest native
    label that marks all of these too. So the other graph may couple less, but not more.

    Parameters
    ----------
    native : Coupling
    other : Coupling
        As it was found for the other graph alone.
    names : mapping of str to str
        For the model's stored tensors what they are called in the other graph.

    Returns
    -------
    Coupling
        With the other graph, and with native labels and groups; there is one label more, for all
        that never goes.

    Raises
    ------
    UnsupportedOperator
        Channels that may go are coupled in another way there.
    """
    pairs = [
        (native.graph.stored[name], other.graph.stored[inner])
        for name, inner in names.items()
        if name in native.graph.stored and inner in other.graph.stored
    ]
    common: list[tuple[Axis, Axis]] = [
        ((one, axis), (two, axis)) for one, two in pairs for axis in range(one.ndim)
    ]
    new = translated(native, other, common)
    axes = {axis: new[labels] for axis, labels in other.axes.items()}
    known = {one for one, _ in common}
    for (value, axis), labels in native.axes.items():
        if value.stored and (value, axis) not in known and not native.frozen[labels].all():
            raise differs(native, labels)
    for one, two in common:
        compare(native, one, axes.get(two))
    count, own = native.count + 1, np.arange(native.count + 1)
    if native.source is not None:
        own[:-1] = native.source
    return Coupling(
        other.graph,
        axes,
        count,
        np.append(native.frozen, True),
        {**native.reasons, native.count: REASON},
        [renamed(group, names) for group in native.groups],
        source=None if native.source is None else own,
    )


def translated(native: Coupling, other: Coupling, common: list[tuple[Axis, Axis]]) -> np.ndarray:
    """For each label of the other graph the native one, or the number of native ones."""
    none = native.count
    size_native, size_other = np.zeros(native.count, np.int64), np.zeros(other.count, np.int64)
    meetings: list[np.ndarray] = []
    for one, two in common:
        mine, theirs = native.axes.get(one), other.axes.get(two)
        for sizes, labels in ((size_native, mine), (size_other, theirs)):
            if labels is not None:
                for column, fresh in columns(labels):
                    sizes += np.bincount(column[fresh], minlength=len(sizes))
        if mine is None or theirs is None:
            continue
        for a, fresh_a in columns(mine):
            for b, fresh_b in columns(theirs):
                both = fresh_a & fresh_b
                meetings.append(b[both].astype(np.int64) * (none + 1) + a[both])
    # What is in the other graph alone may stand on axes that are not compared.
    known = {two for _, two in common}
    for (value, axis), labels in other.axes.items():
        if value.stored and (value, axis) not in known:
            size_other[np.unique(labels)] += 1
    found = np.full(other.count, none)
    if meetings:
        codes, counts = np.unique(np.concatenate(meetings), return_counts=True)
        b, a = codes // (none + 1), codes % (none + 1)
        within = counts == size_other[b]
        a, b = a[within], b[within]
        order = np.argsort(size_native[a], kind="stable")[::-1]
        # The smallest comes last, and stays.
        found[b[order]] = a[order]
    return found


def columns(labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Columns of a label array, and the rows where each does not say what one before did."""
    return [
        (labels[:, k], (labels[:, :k] != labels[:, k : k + 1]).all(axis=1))
        for k in range(labels.shape[1])
    ]


def compare(native: Coupling, axis: Axis, labels: np.ndarray | None) -> None:
    """See whether each index of an axis goes with the same channels in both graphs.

    Raises
    ------
    UnsupportedOperator
    """
    mine = native.axes.get(axis)
    free = np.append(~native.frozen, False)
    empty = np.full((axis[0].shape[axis[1]], 1), native.count)
    one, two = (empty if part is None else part for part in (mine, labels))
    for a, b in ((one, two), (two, one)):
        for column in a.T:
            alone = free[column] & (column[:, None] != b).all(axis=1)
            if alone.any():
                raise differs(native, column[alone])


def differs(native: Coupling, labels: np.ndarray) -> UnsupportedOperator:
    names = [g.name for g in native.groups if np.isin(g.labels, labels).any()]
    what = f"those of {names[0]}" if names else "there are"
    return UnsupportedOperator(f"torch couples other channels in this model than {what}")


def renamed(group: Group, names: Mapping[str, str]) -> Group:
    return replace(group, members=[(names.get(name, name), axis) for name, axis in group.members])
