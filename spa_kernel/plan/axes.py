"""The distinct axes of a model, and how many indices of each stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Axis


@dataclass(frozen=True, slots=True)
class Block:
    """All distinct axes with the same number of labels per index, one after the other.

    Attributes
    ----------
    rows : numpy.ndarray
        int64 (n, k), the labels of every index.
    starts : numpy.ndarray
        int64 (m,), where in ``rows`` each axis begins.
    owner : numpy.ndarray
        int64 (n,), the distinct axis that each row belongs to.
    axes : numpy.ndarray
        int64 (m,), the numbers of the distinct axes.
    """

    rows: np.ndarray
    starts: np.ndarray
    owner: np.ndarray
    axes: np.ndarray

    def gone(self, removed: np.ndarray) -> np.ndarray:
        """Bool (n,): rows that have a removed label."""
        gone: np.ndarray = removed[self.rows[:, 0]]
        for k in range(1, self.rows.shape[1]):
            gone |= removed[self.rows[:, k]]
        return gone


class DistinctAxes:
    """Axes with equal labels lose equal indices, so each kind is looked at only once.

    Axes of which all labels are frozen are left out: they keep their length.

    Attributes
    ----------
    number : dict
        Distinct axis number of each axis that can lose something.
    lengths : numpy.ndarray
        int64, length of each distinct axis.
    blocks : list of Block
    """

    def __init__(self, coupling: Coupling) -> None:
        self.count = coupling.count
        self.number: dict[Axis, int] = {}
        arrays: list[np.ndarray] = []
        same_object: dict[int, int] = {}
        same_content: dict[tuple[tuple[int, ...], bytes], int] = {}
        for axis, labels in coupling.axes.items():
            seen = same_object.get(id(labels))
            if seen is None:
                key = (labels.shape, labels.tobytes())
                seen = same_content.get(key)
                if seen is None:
                    frozen = not labels.size or bool(coupling.frozen[labels].all())
                    seen = -1 if frozen else len(arrays)
                    same_content[key] = seen
                    if not frozen:
                        arrays.append(labels)
                same_object[id(labels)] = seen
            if seen >= 0:
                self.number[axis] = seen
        self.lengths = np.array([len(a) for a in arrays], dtype=np.int64)
        self.blocks = [
            block(arrays, [n for n, a in enumerate(arrays) if a.shape[1] == width])
            for width in sorted({a.shape[1] for a in arrays})
        ]

    def sizes(self, removed: np.ndarray) -> np.ndarray:
        """Indices that stay.

        Parameters
        ----------
        removed : numpy.ndarray
            bool, one per label.

        Returns
        -------
        numpy.ndarray
            int64, one per distinct axis.
        """
        if removed.shape != (self.count,) or removed.dtype != np.bool_:
            raise ValueError(
                f"removed must be a bool array of shape ({self.count},), one per label, not "
                f"{removed.dtype} of shape {removed.shape}"
            )
        sizes = self.lengths.copy()
        for part in self.blocks:
            gone = part.gone(removed).view(np.int8)
            sizes[part.axes] -= np.add.reduceat(gone, part.starts, dtype=np.int64)
        return sizes

    def weigh(self, removed: np.ndarray, per_axis: np.ndarray) -> np.ndarray:
        """Weight of what each label would take along, or bring back.

        Parameters
        ----------
        removed : numpy.ndarray
            bool, one per label.
        per_axis : numpy.ndarray
            float64, worth of one index of each distinct axis.

        Returns
        -------
        numpy.ndarray
            float64, one per label. For a label that is not removed: the worth of the indices
            that are still there and go with it. For a removed one: the worth of the indices that
            only this label keeps away.
        """
        total = np.zeros(self.count)
        for part in self.blocks:
            worth = per_axis[part.owner]
            away = removed[part.rows].sum(axis=1)
            for column in part.rows.T:
                mine = removed[column]
                counts = np.where(mine, away == 1, away == 0)
                total += np.bincount(column[counts], worth[counts], minlength=self.count)
        return total

    def returning(self, removed: np.ndarray) -> csr_matrix:
        """How many indices of each axis only one label keeps away.

        Parameters
        ----------
        removed : numpy.ndarray
            bool, one per label.

        Returns
        -------
        scipy.sparse.csr_matrix
            float64 (labels, distinct axes).
        """
        labels, axes = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for part in self.blocks:
            gone = removed[part.rows]
            alone = gone & (gone.sum(axis=1) == 1)[:, None]
            row, column = np.nonzero(alone)
            labels.append(part.rows[row, column])
            axes.append(part.owner[row])
        where = (np.concatenate(labels), np.concatenate(axes))
        shape = (self.count, len(self.lengths))
        return coo_matrix((np.ones(len(where[0])), where), shape=shape).tocsr()


def block(arrays: list[np.ndarray], axes: list[int]) -> Block:
    """Join the label arrays of some axes into one."""
    lengths = [len(arrays[n]) for n in axes]
    return Block(
        rows=np.concatenate([arrays[n] for n in axes]),
        starts=np.cumsum([0, *lengths[:-1]]),
        owner=np.repeat(np.array(axes, dtype=np.int64), lengths),
        axes=np.array(axes, dtype=np.int64),
    )
