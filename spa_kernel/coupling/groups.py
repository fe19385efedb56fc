"""Coupled channels of equal structure form a group."""

from __future__ import annotations

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.graph.ir import Axis


def stored_axes(coupling: Coupling) -> list[Axis]:
    """Labelled axes of parameters and buffers, in the order in which the network uses them."""
    seen = dict.fromkeys(
        value for node in coupling.graph.nodes for value in node.inputs if value and value.stored
    )
    order = [*seen, *(v for v in coupling.graph.stored.values() if v not in seen)]
    return [(v, a) for v in order for a in range(v.ndim) if (v, a) in coupling.axes]


def weighty(coupling: Coupling) -> np.ndarray:
    """Mask of the labels that a parameter has."""
    mask = np.zeros(coupling.count, dtype=bool)
    arrays = {id(a): a for (v, _), a in coupling.axes.items() if v.kind == "parameter"}
    for labels in arrays.values():
        mask[labels] = True
    return mask


def group(coupling: Coupling) -> list[Group]:
    """Two labels are in one group when they occur equally often on the same stored axes.

    Labels are told apart by a 64-bit sum over (axis, count) pairs of fixed random numbers, so
    that the cost is that of one sort. What only buffers have is no group.
    """
    axes = stored_axes(coupling)
    # Most axes are alike (weight, bias, statistics, next layer's columns): look at each once.
    alike: dict[bytes, list[int]] = {}
    for i, axis in enumerate(axes):
        labels = coupling.axes[axis]
        alike.setdefault(labels.shape[1].to_bytes(8, "little") + labels.tobytes(), []).append(i)
    rng = np.random.default_rng(0)
    signature = np.zeros(coupling.count, dtype=np.uint64)
    first = np.full(coupling.count, np.iinfo(np.int64).max)
    touches: list[tuple[np.ndarray, list[int]]] = []
    position = 0
    for members in alike.values():
        labels = coupling.axes[axes[members[0]]]
        names, where, counts = np.unique(labels, return_index=True, return_counts=True)
        salt = rng.integers(1, 2**63, dtype=np.uint64)
        signature[names] += scramble(counts.astype(np.uint64) * salt)
        first[names] = np.minimum(first[names], position + where)
        position += labels.size
        touches.append((names, members))
    used = np.flatnonzero((first < np.iinfo(np.int64).max) & weighty(coupling))
    if not used.size:
        return []
    used = used[np.argsort(first[used])]
    key = signature[used] ^ coupling.frozen[used].astype(np.uint64)
    _, start, which = np.unique(key, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(start))[which]
    parts = np.split(used[np.argsort(rank, kind="stable")], np.cumsum(np.bincount(rank))[:-1])
    owner = np.full(coupling.count, -1)
    owner[used] = rank
    member_axes: list[list[int]] = [[] for _ in parts]
    for names, members in touches:
        for number in np.unique(owner[names]):
            if number >= 0:
                member_axes[number].extend(members)
    groups = []
    for number, (labels, members) in enumerate(zip(parts, member_axes, strict=True)):
        pairs = [(axes[i][0].name, axes[i][1]) for i in sorted(members)]
        groups.append(
            Group(
                id=f"g{number + 1}",
                name=pairs[0][0].rpartition(".")[0] or pairs[0][0],
                labels=labels,
                members=pairs,
                prunable=not coupling.frozen[labels[0]],
                reason=coupling.reasons.get(int(labels[0]), ""),
                blocks=blocks(coupling, labels),
            )
        )
    return groups


def blocks(coupling: Coupling, labels: np.ndarray) -> int:
    """How many labels of a group come from one that was shared."""
    if coupling.source is None:
        return 1
    return len(labels) // len(np.unique(coupling.source[labels]))


def scramble(x: np.ndarray) -> np.ndarray:
    """Spread 64-bit numbers, so that different (axis, count) pairs do not add up alike."""
    x = x ^ (x >> np.uint64(33))
    x = x * np.uint64(0xFF51AFD7ED558CCD)
    x = x ^ (x >> np.uint64(33))
    return x
