"""Units: the smallest sets of coupled channels that can go together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.sparse import bmat, coo_matrix, csc_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components

from spa_kernel.coupling.result import Constraint, Coupling
from spa_kernel.plan.moves import primitive_moves


@dataclass(slots=True)
class Units:
    """Sets of labels; removing any choice of them satisfies every constraint.

    Attributes
    ----------
    labels : numpy.ndarray
        int64, the labels of all units, one unit after the other. No label stands twice.
    starts : numpy.ndarray
        int64 (units,), where in ``labels`` each unit begins.
    score : numpy.ndarray
        float64 (units,), mean score of the unit's labels.
    family : numpy.ndarray
        int64 (units,), units that share groups or constraints are of one family.
    chained : bool
        Whether a unit may only go after all earlier ones of its family (blocks of channels that
        keep widths a multiple of something).
    """

    labels: np.ndarray
    starts: np.ndarray
    score: np.ndarray
    family: np.ndarray
    chained: bool = False

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def lengths(self) -> np.ndarray:
        """int64 (units,), number of labels."""
        return np.diff(self.starts, append=len(self.labels))

    @property
    def owner(self) -> np.ndarray:
        """int64, the unit that each entry of ``labels`` belongs to."""
        return np.repeat(np.arange(len(self)), self.lengths)

    def sum(self, per_label: np.ndarray) -> np.ndarray:
        """Sum over the labels of each unit."""
        return np.bincount(self.owner, per_label[self.labels], minlength=len(self))

    def mark(self, chosen: np.ndarray, count: int) -> np.ndarray:
        """Bool mask over labels from a bool mask over units."""
        removed = np.zeros(count, dtype=bool)
        removed[self.labels[chosen[self.owner]]] = True
        return removed

    def take(self, chosen: np.ndarray) -> Units:
        """The units of a bool mask, or at indices, in that order."""
        index = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen
        lengths = self.lengths[index]
        starts = np.cumsum(lengths) - lengths
        entries = np.repeat(self.starts[index] - starts, lengths) + np.arange(lengths.sum())
        return Units(
            self.labels[entries], starts, self.score[index], self.family[index], self.chained
        )


def from_lists(parts: list[np.ndarray], per_label: np.ndarray) -> Units:
    """Units from one label array each, of one family."""
    lengths = np.array([len(p) for p in parts], dtype=np.int64)
    labels = np.concatenate([*parts, np.zeros(0, dtype=np.int64)])
    family = np.zeros(len(parts), dtype=np.int64)
    units = Units(labels, np.cumsum(lengths) - lengths, np.zeros(len(parts)), family)
    units.score = units.sum(per_label) / np.maximum(lengths, 1)
    return units


def label_groups(coupling: Coupling) -> np.ndarray:
    """int64, for each label the index of its group in ``coupling.groups``, or -1."""
    owner = np.full(coupling.count, -1, dtype=np.int64)
    for number, group in enumerate(coupling.groups):
        owner[group.labels] = number
    return owner


def make_units(
    coupling: Coupling, per_label: np.ndarray, available: np.ndarray, wanted: np.ndarray
) -> Units:
    """All units of a model, in graph order, those of constraints last.

    Parameters
    ----------
    coupling : Coupling
    per_label : numpy.ndarray
        float64 score of each label.
    available : numpy.ndarray
        bool per label: may go.
    wanted : numpy.ndarray
        bool per label, a subset of ``available``: a unit must have at least one of these.

    Returns
    -------
    Units
        Without constraints one label each. Labels that constraints tie are paired by their
        scores: each unit takes the lowest-scored labels that are left of its classes.
    """
    groups = label_groups(coupling)
    matrix, tied = tie_matrix(coupling.constraints, available)
    order = np.concatenate([g.labels for g in coupling.groups] or [np.zeros(0, dtype=np.int64)])
    free = order[wanted[order] & ~tied[order]]
    tied_parts: list[np.ndarray] = []
    for rows, labels in components(matrix, tied):
        own = matrix[rows][:, labels].tocsc()
        tied_parts += tied_units(own, labels, groups[labels], per_label, wanted[labels])
    together = from_lists(tied_parts, per_label)
    family = np.zeros(len(free) + len(together), dtype=np.int64)
    units = Units(
        np.concatenate([free, together.labels]),
        np.concatenate([np.arange(len(free)), len(free) + together.starts]),
        np.concatenate([per_label[free], together.score]),
        family,
    )
    units.family = join_families(units, groups)
    return units


def tie_matrix(
    constraints: list[Constraint], available: np.ndarray
) -> tuple[csr_matrix, np.ndarray]:
    """The constraints as an int64 matrix (constraints, labels), and the labels that they tie.

    Labels that cannot go add nothing to a sum, so they are left out.
    """
    shape = (len(constraints), len(available))
    lengths = [len(c.labels) for c in constraints]
    empty = np.zeros(0, dtype=np.int64)
    entries = (
        np.concatenate([*(c.coefficients for c in constraints), empty]).astype(np.int64),
        (
            np.repeat(np.arange(len(constraints)), lengths),
            np.concatenate([*(c.labels for c in constraints), empty]),
        ),
    )
    matrix = coo_matrix(entries, shape=shape).tocsr()
    matrix.data *= available[matrix.indices]
    matrix.eliminate_zeros()
    tied = np.zeros(len(available), dtype=bool)
    tied[matrix.indices] = True
    return matrix, tied


def components(matrix: csr_matrix, tied: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Constraints and labels that hang together, as index arrays."""
    if not tied.any():
        return
    rows = matrix.shape[0]
    both = bmat([[None, matrix], [matrix.T, None]], format="csr")
    _, component = connected_components(both, directed=False)
    of_row, of_label = component[:rows], component[rows:]
    labels = np.flatnonzero(tied)
    _, first = np.unique(of_label[labels], return_index=True)
    for number in of_label[labels[np.sort(first)]]:
        yield np.flatnonzero(of_row == number), labels[of_label[labels] == number]


def tied_units(
    matrix: csc_matrix,
    labels: np.ndarray,
    groups: np.ndarray,
    per_label: np.ndarray,
    wanted: np.ndarray,
) -> list[np.ndarray]:
    """Units of labels that hang together by constraints, lowest scores first.

    Parameters
    ----------
    matrix : scipy.sparse.csc_matrix
        int64 (constraints, labels).
    labels, groups, wanted : numpy.ndarray
        Per column: label number, group number, and whether a unit may be made for it.
    per_label : numpy.ndarray
        float64 score of every label of the model.
    """
    first, member = classes(matrix, groups)
    small = matrix[:, first].toarray()
    queues = []
    for c in range(len(first)):
        own = labels[member == c]
        queues.append(own[np.argsort(per_label[own], kind="stable")])
    sums = [np.append(0.0, np.cumsum(per_label[queue])) for queue in queues]
    left = np.array([len(queue) for queue in queues], dtype=np.int64)
    wanted_class = np.bincount(member, wanted, minlength=len(first)) > 0

    moves = primitive_moves(small, left, wanted_class)
    done = np.zeros(len(first), dtype=np.int64)
    made: list[np.ndarray] = []
    while moves:
        moves = [move for move in moves if (move <= left).all()]
        if not moves:
            # What is left of a class may still go together with others than before.
            moves = primitive_moves(small, left, wanted_class & (left > 0))
            if not moves:
                break
        means = [mean_score(move, sums, done) for move in moves]
        best = moves[int(np.argmin(means))]
        taken = [queues[c][done[c] : done[c] + best[c]] for c in np.flatnonzero(best)]
        made.append(np.concatenate(taken))
        done += best
        left -= best
    return made


def classes(matrix: csc_matrix, groups: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels of one group that stand in the constraints in the same way are of one class.

    Returns
    -------
    first, member : numpy.ndarray
        int64: a column of each class, and the class of each column.
    """
    matrix.sort_indices()
    ends = matrix.indptr.tolist()
    numbers: dict[tuple[int, bytes, bytes], int] = {}
    first: list[int] = []
    member = np.empty(len(groups), dtype=np.int64)
    for column, number in enumerate(groups.tolist()):
        part = slice(ends[column], ends[column + 1])
        key = (number, matrix.indices[part].tobytes(), matrix.data[part].tobytes())
        member[column] = numbers.setdefault(key, len(numbers))
        if len(numbers) > len(first):
            first.append(column)
    return np.array(first, dtype=np.int64), member


def mean_score(move: np.ndarray, sums: list[np.ndarray], done: np.ndarray) -> float:
    """Mean score of the next labels that a move takes."""
    total = sum(float(sums[c][done[c] + move[c]] - sums[c][done[c]]) for c in np.flatnonzero(move))
    return total / int(move.sum())


def join_families(units: Units, groups: np.ndarray) -> np.ndarray:
    """int64 (units,): units that take from a common group are of one family."""
    owner, of_group = units.owner, groups[units.labels]
    count = int(groups.max(initial=-1)) + 1
    links = coo_matrix(
        (np.ones(len(owner)), (owner, len(units) + of_group)),
        shape=(len(units) + count, len(units) + count),
    )
    _, component = connected_components(links, directed=False)
    family: np.ndarray = component[: len(units)].astype(np.int64)
    return family
