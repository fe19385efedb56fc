"""Labels: which decisions are one decision, and which follow from others.

Every index of every axis carries a set of labels and goes if one of them goes. A label is an
integer. Labels are merged (union-find, vectorised) and defined as the union of others
(an index of ``H x D`` merged axes goes if its ``h`` or its ``d`` goes). All operations take
int64 arrays of shape (n, k): n indices with k labels each.
"""

from __future__ import annotations

import numpy as np

FREE = np.iinfo(np.int64).max
"""Reason number of a label that is not frozen."""


class Labels:
    """A store of labels, each with what it was merged into, its definition, and its reason."""

    def __init__(self) -> None:
        self.count = 0
        self._parent = np.empty(1024, dtype=np.int64)
        self._reason = np.empty(1024, dtype=np.int64)
        self._definition = np.empty(1024, dtype=np.int64)
        self._rows = np.empty((256, 2), dtype=np.int64)
        self._defined = 0
        self.version = 0
        """Grows with every merge, definition and freeze, so that results can be kept."""

    def fresh(self, n: int) -> np.ndarray:
        """New labels of shape (n, 1)."""
        start, self.count = self.count, self.count + n
        if self.count > len(self._parent):
            extra = max(self.count, 2 * len(self._parent)) - len(self._parent)
            pad = np.empty(extra, dtype=np.int64)
            self._parent = np.concatenate([self._parent, pad])
            self._reason = np.concatenate([self._reason, pad])
            self._definition = np.concatenate([self._definition, pad])
        new = np.arange(start, self.count)
        self._parent[start : self.count] = new
        self._reason[start : self.count] = FREE
        self._definition[start : self.count] = -1
        return new[:, None]

    def find(self, labels: np.ndarray) -> np.ndarray:
        """The representative of each label."""
        roots = self._parent[labels]
        while True:
            up = self._parent[roots]
            if np.array_equal(up, roots):
                break
            roots = up
        self._parent[labels] = roots
        return roots

    def resolve(self, labels: np.ndarray) -> np.ndarray:
        """Representatives with all definitions written out; frozen and repeated columns dropped.

        A result of one column that is frozen throughout stands for "never goes".
        """
        roots = self.find(labels)
        if self._defined:
            which = self._definition[roots]
            if (which >= 0).any():
                self._write_out(np.unique(which[which >= 0]))
                roots = self._replaced(roots, which)
        return tidy(roots, self._reason[roots] != FREE)

    def _write_out(self, numbers: np.ndarray) -> None:
        """Make the rows of these definitions hold no label that is defined itself."""
        rows, changed = self.find(self._rows[numbers]), False
        while True:
            which = self._definition[rows]
            if not (which >= 0).any():
                break
            rows, changed = self._replaced(rows, which), True
            rows = distinct_in_rows(tidy(rows, self._reason[rows] != FREE))
        if changed:
            # Kept, so that a chain of definitions is followed only once.
            self._keep(numbers, rows)

    def _replaced(self, roots: np.ndarray, which: np.ndarray) -> np.ndarray:
        """Labels with each defined one (``which >= 0``) replaced by its row."""
        defined, columns = which >= 0, []
        for j in range(roots.shape[1]):
            column = roots[:, j : j + 1]
            if defined[:, j].any():
                rows = self._rows[which[:, j]]
                column = np.where(defined[:, j : j + 1], rows, column)
            columns.append(column)
        return distinct_columns(self.find(np.concatenate(columns, axis=1)))

    def reason(self, labels: np.ndarray) -> np.ndarray:
        """Reason number of each label, `FREE` where it may go (labels must be resolved)."""
        out: np.ndarray = self._reason[labels]
        return out

    def freeze(self, labels: np.ndarray, reason: int) -> None:
        """These labels (and so all that they are defined by) never go."""
        roots = self.resolve(labels)
        if (self._reason[roots] > reason).any():
            self._reason[roots] = np.minimum(self._reason[roots], reason)
            self.version += 1

    def merge(self, a: np.ndarray, b: np.ndarray) -> None:
        """Make ``a[i]`` and ``b[i]`` one label each (resolved labels of equal shape)."""
        while True:
            ra, rb = self.find(a), self.find(b)
            differ = ra != rb
            if not differ.any():
                return
            low = np.minimum(ra, rb)[differ]
            high = np.maximum(ra, rb)[differ]
            np.minimum.at(self._reason, low, self._reason[high])
            # Where several labels want one parent the last one wins, the next round does the rest.
            self._parent[high] = low
            self.version += 1

    def define(self, labels: np.ndarray, rows: np.ndarray) -> None:
        """Each label (n, 1) goes exactly when one of its row (n, k) goes (all resolved)."""
        start, n = self._defined, len(rows)
        if start + n > len(self._rows):
            room = max(start + n, 2 * len(self._rows))
            pad = np.empty((room - len(self._rows), self._rows.shape[1]), dtype=np.int64)
            self._rows = np.concatenate([self._rows, pad])
        self._keep(np.arange(start, start + n), rows)
        self._definition[labels[:, 0]] = np.arange(start, start + n)
        self._defined += n
        self.version += 1

    def _keep(self, numbers: np.ndarray, rows: np.ndarray) -> None:
        """Store the rows of definitions, all of them as wide as the widest."""
        width, known = rows.shape[1], self._rows.shape[1]
        if width > known:
            last = np.repeat(self._rows[:, -1:], width - known, axis=1)
            self._rows = np.concatenate([self._rows, last], axis=1)
        self._rows[numbers, :width] = rows
        self._rows[numbers, width:] = rows[:, -1:]

    def require_equal(self, a: np.ndarray, b: np.ndarray, reason: int) -> None:
        """Index i of ``a`` goes exactly when index i of ``b`` goes.

        With one label on each side they merge. A single label against several is defined by
        them. Otherwise columns are paired: those of equal pattern first, then those whose
        merger leaves the most freedom; a column without partner is frozen. Every step is
        sound: it can only forbid, never allow, a prune.
        """
        a, b = self.resolve(a), self.resolve(b)
        if a.shape[1] == 1 and b.shape[1] == 1:
            # The merger carries reasons across: frozen with anything is frozen.
            self.merge(a, b)
            return
        if a.shape == b.shape and np.array_equal(a, b):
            return
        before = -1
        while before != self.version:
            # What freezes in one row may freeze another one.
            before = self.version
            for x, y in ((a, b), (b, a)):
                never = self._never(x) & ~self._never(y)
                for number in np.unique(self._reason[x[never]].min(axis=1)) if never.any() else ():
                    self.freeze(y[never], int(number))
        free = ~(self._never(a) | self._never(b))
        if not free.any():
            return
        a, b = self.resolve(a[free]), self.resolve(b[free])
        kind = 2 * several(a) + several(b)
        kinds = np.unique(kind)
        if len(kinds) > 1:
            # Rows with one label and rows with several follow different rules.
            for k in kinds:
                self.require_equal(a[kind == k], b[kind == k], reason)
            return
        for x, y in ((a, b), (b, a)):
            if x.shape[1] == 1 and self._define_by(x, y, reason):
                return
        self._pair(a, b, reason)

    def _never(self, labels: np.ndarray) -> np.ndarray:
        """Mask of the rows all of whose labels are frozen."""
        rows: np.ndarray = (self._reason[labels] != FREE).all(axis=1)
        return rows

    def _define_by(self, x: np.ndarray, y: np.ndarray, reason: int) -> bool:
        """Define the labels of ``x`` (n, 1) by the rows of ``y`` (n, k); False if circular."""
        if np.isin(x, y).any() or (self._reason[x] != FREE).any():
            return False
        labels, first, inverse = np.unique(x[:, 0], return_index=True, return_inverse=True)
        if len(labels) < len(x):
            # Indices that share a label on one side must agree on the other side too.
            representative = y[first][inverse]
            for j in range(y.shape[1]):
                self.merge(y[:, j], representative[:, j])
            y = self.find(y)
        # A label that covers the whole axis could only empty it.
        whole = (y == y[0]).all(axis=0) & (len(labels) > 1)
        if whole.any():
            self.freeze(y[:, whole], reason)
            if whole.all():
                self.freeze(x, reason)
                return True
            y = y[:, ~whole]
        if np.isin(x, y).any():
            return False
        self.define(labels[:, None], y[first])
        return True

    def _pair(self, a: np.ndarray, b: np.ndarray, reason: int) -> None:
        left, right = list(range(a.shape[1])), list(range(b.shape[1]))
        patterns_b = {j: pattern(b[:, j]) for j in right}
        for i in list(left):
            own = pattern(a[:, i])
            for j in right:
                if np.array_equal(own, patterns_b[j]):
                    self.merge(a[:, i], b[:, j])
                    left.remove(i)
                    right.remove(j)
                    break
        if not left and not right:
            return
        # A column that determines everything on the other side can stand for it.
        for mine, theirs, x, y in ((left, right, a, b), (right, left, b, a)):
            for i in mine:
                if theirs and determines(x[:, i], y[:, theirs]):
                    for other in mine:
                        if other != i:
                            self.freeze(x[:, other : other + 1], reason)
                    rest = self.resolve(y[:, theirs])
                    column = self.resolve(x[:, i : i + 1])
                    if column.shape[1] == 1 and self._define_by(column, rest, reason):
                        return
        while left and right:
            choices = [(classes_after(a[:, i], b[:, j]), i, j) for i in left for j in right]
            best, i, j = max(choices, key=lambda c: (c[0], -c[1], -c[2]))
            if best == 1:
                break
            self.merge(a[:, i], b[:, j])
            left.remove(i)
            right.remove(j)
        for i in left:
            self.freeze(a[:, i : i + 1], reason)
        for j in right:
            self.freeze(b[:, j : j + 1], reason)


def tidy(labels: np.ndarray, frozen: np.ndarray) -> np.ndarray:
    """Drop what changes nothing: repeated columns, and frozen labels beside others in a row.

    Parameters
    ----------
    labels : numpy.ndarray
        int64 (n, k).
    frozen : numpy.ndarray
        bool (n, k).
    """
    if labels.shape[1] == 1:
        return labels
    if frozen.any():
        best = np.argmin(frozen, axis=1)
        labels = np.where(frozen, np.take_along_axis(labels, best[:, None], axis=1), labels)
    return distinct_columns(labels)


def distinct_columns(labels: np.ndarray) -> np.ndarray:
    """Drop columns that repeat an earlier one."""
    if labels.shape[1] == 1:
        return labels
    # The first column of each content: a dictionary keeps what it met first.
    first: dict[bytes, int] = {}
    for j, column in enumerate(np.ascontiguousarray(labels.T)):
        first.setdefault(column.tobytes(), j)
    keep = list(first.values())
    return labels if len(keep) == labels.shape[1] else labels[:, keep]


def distinct_in_rows(labels: np.ndarray) -> np.ndarray:
    """Drop labels that repeat an earlier one in their row; short rows repeat their last one."""
    order = np.argsort(labels, axis=1, kind="stable")
    ordered = np.take_along_axis(labels, order, axis=1)
    again = np.zeros(labels.shape, dtype=bool)
    np.put_along_axis(again, order[:, 1:], ordered[:, 1:] == ordered[:, :-1], axis=1)
    front = np.argsort(again, axis=1, kind="stable")
    count = (~again).sum(axis=1)
    at = np.minimum(np.arange(count.max()), count[:, None] - 1)
    return np.take_along_axis(labels, np.take_along_axis(front, at, axis=1), axis=1)


def several(labels: np.ndarray) -> np.ndarray:
    """Mask of the rows that hold more than one label."""
    rows: np.ndarray = (labels != labels[:, :1]).any(axis=1)
    return rows.astype(np.int64)


def pattern(column: np.ndarray) -> np.ndarray:
    """Number the labels of a column in order of appearance: equal for equal partitions."""
    _, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    out: np.ndarray = order[inverse]
    return out


def determines(column: np.ndarray, rows: np.ndarray) -> bool:
    """Whether indices with the same label in a column have the same row elsewhere."""
    _, first, inverse = np.unique(column, return_index=True, return_inverse=True)
    return bool(np.array_equal(rows[first][inverse], rows))


def classes_after(a: np.ndarray, b: np.ndarray) -> int:
    """How many different labels are left if two columns are merged entry by entry."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    names, code = np.unique(np.concatenate([a, b]), return_inverse=True)
    n = len(a)
    links = coo_array((np.ones(n), (code[:n], code[n:])), shape=(len(names), len(names)))
    return int(connected_components(links, directed=False, return_labels=False))
