"""Repeated blocks, found by structure: names are equal but for one number."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Sequence

NUMBER = re.compile(r"(\d+)")


def template(name: str) -> str:
    """A name without its numbers."""
    return NUMBER.sub("#", name)


def classes(keys: Sequence[Hashable], pairs: Sequence[tuple[int, int]]) -> list[int]:
    """A number per item: equal for equal keys where the neighbours' keys are equal too.

    Parameters
    ----------
    keys : sequence
        What an item is like.
    pairs : sequence of (int, int)
        Data flow between items; numbers beyond the last item stand for themselves.
    """
    own: dict[Hashable, int] = {}
    first = [own.setdefault(key, len(own)) for key in keys]
    before: list[set[int]] = [set() for _ in keys]
    behind: list[set[int]] = [set() for _ in keys]
    for source, target in pairs:
        if target < len(keys):
            before[target].add(first[source] if source < len(keys) else -source)
        if source < len(keys):
            behind[source].add(first[target] if target < len(keys) else -target)
    both: dict[Hashable, int] = {}
    return [
        both.setdefault((f, frozenset(b), frozenset(a)), len(both))
        for f, b, a in zip(first, before, behind, strict=True)
    ]


def folded(names: Sequence[str], kinds: Sequence[int]) -> list[list[int]]:
    """Items that are the same part of equal blocks, as lists of their numbers.

    A block is what has the same name up to a number. Two blocks are equal if they hold items of
    the same kinds, so that a part is never folded without the rest of its block.

    Parameters
    ----------
    names : sequence of str
    kinds : sequence of int
        Equal for items of equal structure.
    """
    pieces = [NUMBER.split(name) for name in names]
    content: dict[str, list[int]] = defaultdict(list)
    for kind, split in zip(kinds, pieces, strict=True):
        for end in range(1, len(split), 2):
            content["".join(split[: end + 1])].append(kind)
    alike: dict[tuple[int, str], list[int]] = defaultdict(list)
    for item, (kind, name) in enumerate(zip(kinds, names, strict=True)):
        alike[kind, template(name)].append(item)
    found: list[list[int]] = []
    for items in alike.values():
        values = [len({pieces[i][slot] for i in items}) for slot in range(len(pieces[items[0]]))]
        most = max(values)
        if most == 1:
            found.extend([i] for i in items)
            continue
        slot = len(values) - 1 - values[::-1].index(most)
        parts: dict[Hashable, list[int]] = defaultdict(list)
        for i in items:
            split = pieces[i]
            block = tuple(sorted(content["".join(split[: slot + 1])]))
            parts[*split[:slot], *split[slot + 1 :], block].append(i)
        for part in parts.values():
            # Several of the same name are not repeats of each other.
            same = len({names[i] for i in part}) < len(part)
            found.extend([[i] for i in part] if same else [part])
    return sorted(found, key=min)


def spanned(names: Sequence[str]) -> str:
    """One name for names that are equal but for one number.

    Examples
    --------
    >>> spanned(["layer1.1.conv1", "layer1.2.conv1"])
    'layer1.[1–2].conv1'
    """
    pieces = [NUMBER.split(name) for name in dict.fromkeys(names)]
    parts = []
    for column in zip(*pieces, strict=True):
        different = set(column)
        if len(different) == 1:
            parts.append(column[0])
            continue
        numbers = sorted(map(int, different))
        whole = numbers == list(range(numbers[0], numbers[-1] + 1))
        comma = len(numbers) == 2 and not whole
        parts.append(f"[{numbers[0]}{', ' if comma else '–' if whole else '…'}{numbers[-1]}]")
    return "".join(parts)
