"""Which classes of channels must go together so that count constraints hold.

Classes of channels that stand in the constraints in the same way are interchangeable, so only
the number ``r[c]`` removed from each class matters, and ``matrix @ r == 0`` must hold in
non-negative integers. A *move* is a smallest such ``r``: none that is not a sum of others.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

# With more classes than this, moves for pairs of classes (a finer choice) are not looked for.
MOST_CLASSES_FOR_PAIRS = 16
MOST_STEPS = 5_000


def primitive_moves(
    matrix: np.ndarray, available: np.ndarray, wanted: np.ndarray
) -> list[np.ndarray]:
    """Moves that together reach every class that can lose anything.

    Parameters
    ----------
    matrix : numpy.ndarray
        int64 (constraints, classes).
    available : numpy.ndarray
        int64 (classes,), how many channels each class has.
    wanted : numpy.ndarray
        bool (classes,); a move must take from at least one of these.

    Returns
    -------
    list of numpy.ndarray
        int64 (classes,) each.
    """
    member = in_step(matrix)
    count = int(member.max(initial=-1)) + 1
    joined = np.zeros((matrix.shape[0], count), dtype=np.int64)
    np.add.at(joined.T, member, matrix.T)
    least = np.full(count, np.iinfo(np.int64).max)
    np.minimum.at(least, member, available)
    any_wanted = np.bincount(member, wanted, minlength=count) > 0
    joined = joined[joined.any(axis=1)]
    found = _moves(
        joined.shape,
        np.ascontiguousarray(joined, dtype=np.int64).tobytes(),
        np.ascontiguousarray(least, dtype=np.int64).tobytes(),
        np.ascontiguousarray(any_wanted, dtype=bool).tobytes(),
    )
    return [np.array(move, dtype=np.int64)[member] for move in found]


def in_step(matrix: np.ndarray) -> np.ndarray:
    """For each class a number, the same for classes that always lose equally many.

    Heads and groups of a convolution do: their constraints name two classes each. Taken
    together, hundreds of them are no work.
    """
    member = np.arange(matrix.shape[1])
    while True:
        joined = np.zeros(matrix.shape, dtype=np.int64)
        np.add.at(joined.T, member, matrix.T)
        pairs = joined[((joined != 0).sum(axis=1) == 2) & (joined.sum(axis=1) == 0)]
        if not len(pairs):
            return np.unique(member, return_inverse=True)[1].reshape(-1)
        first, second = np.nonzero(pairs)[1].reshape(-1, 2).T
        shape = (len(member), len(member))
        links = coo_array((np.ones(len(first)), (first, second)), shape=shape)
        member = connected_components(links, directed=False)[1][member]


def smallest_move(matrix: np.ndarray, at_least: np.ndarray, at_most: np.ndarray) -> np.ndarray:
    """The smallest ``r`` between two bounds with ``matrix @ r == 0``; empty where there is none.

    Breadth first over sums of ``r``: a constraint that is off can only be put right by one more
    of a class that pulls it back, so the search branches over these alone, for the constraint
    that has the fewest. It gives up (empty) after `MOST_STEPS`: then the channels stay.
    """
    none = np.zeros(0, dtype=np.int64)
    if (at_least > at_most).any():
        return none
    pull = np.sign(matrix)
    level = [at_least]
    seen: set[bytes] = set()
    while level:
        following: list[np.ndarray] = []
        for r in level:
            off = matrix @ r
            wrong = np.flatnonzero(off)
            if not wrong.size:
                return r
            helps = (pull[wrong] == -np.sign(off[wrong])[:, None]) & (r < at_most)
            fewest = helps[int(np.argmin(helps.sum(axis=1)))]
            for c in np.flatnonzero(fewest):
                more = r.copy()
                more[c] += 1
                key = more.tobytes()
                if key not in seen:
                    seen.add(key)
                    following.append(more)
        if len(seen) > MOST_STEPS:
            return none
        level = following
    return none


# Networks repeat their blocks, and a person plans more than once.
@lru_cache(maxsize=1024)
def _moves(
    shape: tuple[int, int], matrix_bytes: bytes, available_bytes: bytes, wanted_bytes: bytes
) -> tuple[tuple[int, ...], ...]:
    matrix = np.frombuffer(matrix_bytes, dtype=np.int64).reshape(shape)
    available = np.frombuffer(available_bytes, dtype=np.int64)
    wanted = np.frombuffer(wanted_bytes, dtype=bool)
    unit = np.eye(shape[1], dtype=np.int64)
    found: dict[tuple[int, ...], None] = {}
    for c in np.flatnonzero(wanted):
        move = smallest_move(matrix, unit[c], available)
        if move.size:
            found[tuple(move.tolist())] = None
    if shape[1] <= MOST_CLASSES_FOR_PAIRS:
        opposed = matrix.T @ matrix < 0
        for c, other in np.argwhere(np.triu(opposed)):
            if not wanted[[c, other]].any() or any(m[c] and m[other] for m in found):
                continue
            for move in decompose(
                matrix, smallest_move(matrix, unit[c] + unit[other], available), unit
            ):
                if wanted[move > 0].any():
                    found[tuple(move.tolist())] = None
    return tuple(found)


def decompose(matrix: np.ndarray, total: np.ndarray, unit: np.ndarray) -> list[np.ndarray]:
    """Smallest moves that add up to the total."""
    parts: list[np.ndarray] = []
    while total.any():
        part = smallest_move(matrix, unit[np.flatnonzero(total)[0]], total)
        if not part.size:
            break
        parts.append(part)
        total = total - part
    return parts
