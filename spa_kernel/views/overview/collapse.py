"""Fewer boxes and arrows, until they fit on a screen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

Pairs = list[tuple[int, int]]


def fitted(
    names: Sequence[str], frozen: Sequence[bool], pairs: Pairs, most: int
) -> tuple[list[list[int]], Pairs, bool]:
    """Put items together, neighbours of one module first, until no more than ``most`` are left.

    Parameters
    ----------
    names : sequence of str
        In the order of the network; dots separate modules.
    frozen : sequence of bool
        These are put together before others.
    pairs : list of (int, int)
        Arrows.
    most : int
        Of items and arrows together.

    Returns
    -------
    parts : list of list of int
        The items that are drawn as one.
    pairs : list of (int, int)
        Arrows between the parts.
    thinned : bool
        Whether arrows were left out that others imply.
    """
    ends = np.array(pairs, dtype=np.int64).reshape(-1, 2)
    for number, parts in enumerate(_parts(names, frozen)):
        kept = _joined(ends, parts, len(names))
        if len(parts) + len(kept) <= most:
            return parts, [(int(a), int(b)) for a, b in kept], False
        if number == 0 and len(parts) <= most // 2:
            thin = thinned(len(parts), [(int(a), int(b)) for a, b in kept])
            if len(parts) + len(thin) <= most:
                return parts, thin, True
    return [list(range(len(names)))], [], False


def thinned(count: int, pairs: Pairs) -> Pairs:
    """Leave out forward arrows that a longer way implies."""
    behind: list[list[int]] = [[] for _ in range(count)]
    for a, b in pairs:
        if a < b:
            behind[a].append(b)
    # Bits: what can be reached from each.
    reached = [0] * count
    short = [(a, b) for a, b in pairs if a > b]
    for a in reversed(range(count)):
        for b in sorted(behind[a]):
            if not reached[a] >> b & 1:
                short.append((a, b))
                reached[a] |= reached[b] | 1 << b
    return sorted(short)


def _joined(ends: np.ndarray, parts: Sequence[Sequence[int]], count: int) -> np.ndarray:
    """Arrows between parts, each once, none from a part to itself."""
    owner = np.empty(count, dtype=np.int64)
    for number, items in enumerate(parts):
        owner[list(items)] = number
    found = np.unique(owner[ends], axis=0) if len(ends) else ends
    kept: np.ndarray = found[found[:, 0] != found[:, 1]]
    return kept


def _parts(names: Sequence[str], frozen: Sequence[bool]) -> Iterator[list[list[int]]]:
    """Ever fewer and larger parts."""
    yield [[i] for i in range(len(names))]
    paths = [name.split(".") for name in names]
    deepest = max(map(len, paths), default=1) - 1
    everything = [True] * len(names)
    for which, least in ((frozen, 1), (everything, 0)):
        for depth in range(deepest, least - 1, -1):
            largest = 4
            while largest < 4 * len(names):
                yield _runs([tuple(path[:depth]) for path in paths], which, largest)
                largest *= 2 if depth == 0 else 4


def _runs(keys: Sequence[tuple[str, ...]], which: Sequence[bool], largest: int) -> list[list[int]]:
    """Neighbours among those that may be joined, with equal keys."""
    parts: list[list[int]] = []
    last: list[int] | None = None
    for item, key in enumerate(keys):
        if not which[item]:
            parts.append([item])
        elif last is not None and keys[last[0]] == key and len(last) < largest:
            last.append(item)
        else:
            last = [item]
            parts.append(last)
    return parts
