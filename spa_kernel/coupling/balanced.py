"""A choice of its own in every block: head dimensions per head, channels per group.

Labels say that an index of a split axis goes in all blocks or in none: all heads lose the same
head dimensions. But only the *number* that is left must be the same in every block. What
`spa_kernel.coupling.follow` finds to be apart may be chosen apart, with equal counts, which
become constraints.

It is exact because every step is: an operator that works on each block by itself joins the
entries that meet in a block; all others join all blocks; and where axes are merged or split,
the blocks stand before the indices chosen in them, so that the order of what stays is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from spa_kernel.coupling.follow import Follower
from spa_kernel.coupling.result import Constraint, Coupling, Group
from spa_kernel.graph.ir import Axis


def balance(coupling: Coupling) -> bool:
    """Let blocks choose apart where that is exact; returns whether any can.

    The groups must have been made; they are to be made again if it returns True.
    """
    family, number = families(coupling)
    if not number:
        return False
    follower = Follower(coupling, family)
    follower.run()
    numbers, count = renumbered(follower)
    if count == coupling.count:
        return False
    constraints = block_counts(follower, numbers)
    axes = {**coupling.axes, **rewritten(follower, numbers)}
    coupling.shared = coupling.axes, coupling.count
    coupling.source = np.arange(count)
    coupling.source[numbers[:-1]] = follower.base[:-1]
    coupling.frozen = np.concatenate([coupling.frozen, np.zeros(count - coupling.count, bool)])
    coupling.axes, coupling.count = axes, count
    coupling.constraints = [*coupling.constraints, *constraints]
    return True


def share(coupling: Coupling) -> None:
    """Take `balance` back; constraints, repairs and groups are to be made again after this."""
    if coupling.shared is not None:
        coupling.axes, coupling.count = coupling.shared
        coupling.frozen = coupling.frozen[: coupling.count].copy()
        coupling.shared, coupling.source = None, None


def families(coupling: Coupling) -> tuple[np.ndarray, int]:
    """A number for each label that blocks may choose apart (-1 for others), and how many there are.

    Worth following are the channels of a group that come again behind others on some axis. A
    row of a convolution's kernel serves all groups, so its channels have one choice in any case.
    """
    family, number = np.full(coupling.count, -1), 0
    again, bound = np.zeros((2, coupling.count), dtype=bool)
    axes = {id(a): (v.ndim, a) for (v, _), a in coupling.axes.items() if v.kind == "parameter"}
    for ndim, labels in axes.values():
        for column in labels.T:
            runs = np.sort(column[np.flatnonzero(np.diff(column, prepend=-1))])
            repeated = runs[1:][runs[1:] == runs[:-1]]
            again[repeated] = True
            if ndim > 2 and len(repeated) == 0:
                bound[column] = True
    for group in coupling.groups:
        if group.prunable and group.size > 1 and again[group.labels].any():
            # Heads and head dimensions may touch the same axes equally often.
            for labels in apart(coupling, group):
                if again[labels].any() and not bound[labels].any():
                    family[labels] = number
                    number += 1
    return family, number


def apart(coupling: Coupling, group: Group) -> list[np.ndarray]:
    """The labels of a group, those that stand in the same column of their first axis together."""
    name, axis = group.members[0]
    axes = coupling.axes[coupling.graph.stored[name], axis]
    mine = [np.intersect1d(group.labels, column) for column in axes.T]
    spread_out = sum(map(len, mine)) != group.size
    return [group.labels] if spread_out else [labels for labels in mine if len(labels) > 1]


def renumbered(follower: Follower) -> tuple[np.ndarray, int]:
    """For each own label its number, and how many labels there are then.

    The first block keeps the shared labels: sizes are still worked out from them.
    """
    coupling = follower.coupling
    base = follower.base[:-1]
    roots = roots_of(follower)
    given_up = np.isin(follower.family[base], sorted(follower.given_up))
    first = np.full(coupling.count, follower.fresh)
    np.minimum.at(first, base, roots)
    apart = ~given_up & (roots != first[base])
    new, number = np.unique(roots[apart], return_inverse=True)
    numbers = base.copy()
    numbers[apart] = coupling.count + number
    # One more, for "no label".
    return np.append(numbers, -1), coupling.count + len(new)


def roots_of(follower: Follower) -> np.ndarray:
    """The first of the own labels that each has been merged with."""
    empty = np.empty(0, dtype=np.int64)
    a = np.concatenate([empty, *(a for a, _ in follower.merged)])
    b = np.concatenate([empty, *(b for _, b in follower.merged)])
    links = coo_array((np.ones(len(a), np.int8), (a, b)), shape=(follower.fresh, follower.fresh))
    _, component = connected_components(links, directed=False)
    _, first = np.unique(component, return_index=True)
    roots: np.ndarray = first[component]
    return roots


def rewritten(follower: Follower, numbers: np.ndarray) -> dict[Axis, np.ndarray]:
    """Labels of the axes that have a choice per block now."""
    found: dict[Axis, np.ndarray] = {}
    alike: dict[tuple[int, bytes], np.ndarray] = {}
    for (f, axis), pattern in follower.known.items():
        if f in follower.given_up or pattern.others or axis[0].kind == "virtual":
            continue
        new = numbers[pattern.content]
        labels = found.get(axis, follower.coupling.axes[axis])
        key = id(labels), new.tobytes()
        if key not in alike:
            shared = follower.base[pattern.content]
            if np.array_equal(new, shared):
                continue
            mine = (labels == shared[:, None]) & (shared >= 0)[:, None]
            alike[key] = np.where(mine, new[:, None], labels)
        found[axis] = alike[key]
    return found


def block_counts(follower: Follower, numbers: np.ndarray) -> list[Constraint]:
    """Every block keeps as many indices as the shared choice says."""
    found: dict[tuple[bytes, bytes], Constraint] = {}
    done: set[tuple[bytes, ...]] = set()
    nothing = np.empty(0, dtype=np.int64)
    for f, axis, part in [*((*key, nothing) for key in follower.known), *follower.parts]:
        pattern = follower.known[f, axis]
        if f in follower.given_up or axis[0].kind == "virtual":
            continue
        new, shared = numbers[pattern.content], follower.base[pattern.content]
        if np.array_equal(new, shared):
            continue
        labels = follower.coupling.axes[axis]
        rest = np.where(follower.family[labels] == f, -1, labels).T
        key = new.tobytes(), rest.tobytes(), part.tobytes()
        if key in done:
            continue
        done.add(key)
        new, shared = new.reshape(-1, new.shape[-1]), shared.reshape(-1, new.shape[-1])[0]
        mine = shared >= 0
        block = numbered([*rest, *([part] if part.size else [])])[mine]
        order = np.argsort(block, kind="stable")
        cuts = np.flatnonzero(np.diff(block[order])) + 1
        for own in np.split(np.flatnonzero(mine)[order], cuts):
            wanted = np.sort(shared[own])
            for row in np.sort(new[:, own], axis=1):
                both = wanted.tobytes(), row.tobytes()
                if both[0] != both[1] and both not in found:
                    found[both] = equally_many(wanted, row)
    unique = {(c.labels.tobytes(), c.coefficients.tobytes()): c for c in found.values()}
    return list(unique.values())


def numbered(columns: Sequence[np.ndarray]) -> np.ndarray:
    """A number for every different row of some columns."""
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        if (column != column[0]).any():
            code = np.unique(code * (column.max() + 2) + column + 1, return_inverse=True)[1]
    return code.reshape(-1)


def equally_many(these: np.ndarray, those: np.ndarray) -> Constraint:
    """As many of some labels go as of others (sorted; a label may stand more than once)."""
    reason = "blocks of one tensor (heads, groups of channels) keep equally many"
    labels = np.concatenate([these, those])
    times = np.repeat([1, -1], [len(these), len(those)])
    if not (labels[1:] > labels[:-1]).all():
        order = np.argsort(labels, kind="stable")
        start = np.flatnonzero(np.diff(labels[order], prepend=-1))
        labels, times = labels[order][start], np.add.reduceat(times[order], start)
        labels, times = labels[times != 0], times[times != 0]
        times = times // np.gcd.reduce(times)
    return Constraint(labels, times, reason)
