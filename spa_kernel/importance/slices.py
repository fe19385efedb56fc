"""The elements that go with each channel of a group, as rows of an array."""

from __future__ import annotations

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.errors import InfeasibleTarget


def channel_slices(array: np.ndarray, axis: int, labels: np.ndarray, group: Group) -> np.ndarray:
    """One row per channel of a group: the elements that go with it on one axis.

    Parameters
    ----------
    array : numpy.ndarray
        Of a parameter's shape.
    axis : int
    labels : numpy.ndarray
        int64 (array.shape[axis], k), the labels of the axis.
    group : Group

    Returns
    -------
    numpy.ndarray
        (group.size, elements per channel) of the array's dtype, read-only, in the order of
        ``group.labels``; within a row, index by index of the axis. A label that stands twice in
        one row of ``labels`` counts once.

    Raises
    ------
    InfeasibleTarget
        The channels differ in how many indices of the axis go with them.
    """
    indices = channel_indices(labels, group)
    whole = np.array_equal(indices[:, 0], np.arange(len(labels))) and indices.shape[1] == 1
    taken = array if whole else np.take(array, indices.ravel(), axis=axis)
    rows = np.moveaxis(taken, axis, 0).reshape(group.size, indices.shape[1] * rest(array, axis))
    rows.flags.writeable = False
    return rows


def channel_indices(labels: np.ndarray, group: Group) -> np.ndarray:
    """int64 (group.size, indices per channel): which indices of an axis go with each channel."""
    order = np.argsort(group.labels)
    place = np.searchsorted(group.labels, labels, sorter=order)
    channel = order[np.minimum(place, group.size - 1)]
    index, column = np.nonzero(group.labels[channel] == labels)
    # Sorted by channel, then by index; a label twice in a row is one.
    pairs = np.unique(channel[index, column] * len(labels) + index)
    counts = np.bincount(pairs // len(labels), minlength=group.size)
    if not counts.size or (counts != counts[0]).any() or not counts[0]:
        raise InfeasibleTarget(
            f"the channels of {group.id} ({group.name}) go with unequal numbers of indices of one "
            'axis, so they make no table: use agg="mean" or "sum" with a criterion of elements'
        )
    found: np.ndarray = (pairs % len(labels)).reshape(group.size, -1)
    return found


def rest(array: np.ndarray, axis: int) -> int:
    """Number of elements that go with one index of an axis."""
    return int(np.prod(array.shape[:axis] + array.shape[axis + 1 :]))
