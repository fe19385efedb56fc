"""Means over pruned axes, and weights that take up that fewer entries are averaged."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from spa_kernel.coupling.folding import Folding
from spa_kernel.graph.factors import MAIN
from spa_kernel.graph.ir import Graph, Node


def proportion(labels: np.ndarray) -> bytes:
    """The same for axes of which the same fraction of indices stays, whatever goes.

    Parameters
    ----------
    labels : numpy.ndarray
        Labels (n, k) of an axis.
    """
    rows, counts = np.unique(np.sort(labels, axis=1), axis=0, return_counts=True)
    return rows.tobytes() + (counts // np.gcd.reduce(counts)).tobytes()


def exact(graph: Graph, means: Sequence[tuple[Node, np.ndarray]]) -> list[bool]:
    """Whether an axis may lose indices, for each mean over one and the labels of that axis.

    All means over axes that go together are off by the same factor, and are put right together:
    the norms of a residual stream ask the same of what is written into it.
    """
    folding = Folding(graph, (node for node, _ in means))
    keys = [proportion(labels) for _, labels in means]
    together: dict[bytes, list[tuple[Node, int]]] = {}
    for (node, _), key in zip(means, keys, strict=True):
        together.setdefault(key, []).append((node, MAIN))
    good = {key for key, places in together.items() if solvable(folding, places)}
    return [key in good for key in keys]


def solvable(folding: Folding, places: list[tuple[Node, int]]) -> bool:
    """All at once, or one after the other."""
    if folding.solve(*places) is not None:
        return True
    return len(places) > 1 and all(folding.solve(place) is not None for place in places)
