"""Distance to the other channels."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion

ROWS = 512
"""How many channels are compared with how many at a time, which bounds the memory."""


@criterion("fpgm", per="channel")
def fpgm(context: Context, group: Group) -> np.ndarray | None:
    """Sum of the distances between a channel's weights and those of all others.

    Notes
    -----
    ``S(i) = mean over members ( sum over j ( || W_i - W_j || ) )``, where ``W_i`` are the elements
    of one parameter that go with channel i on one of its axes. The channel nearest to the
    geometric median can be made up for by the others: He et al., "Filter Pruning via Geometric
    Median" (arXiv 1811.00250). They look at the filters of one layer; here every weight that the
    coupled channel touches counts equally. Parameters of one axis (biases, scales) are left out.

    Needs weights only, and computes in their precision. Nothing is said of a group without
    weights of two or more axes; ``agg`` does not matter.
    """
    stored = context.coupling.graph.stored
    weights = {name for name, _ in group.members if stored[name].ndim > 1}
    sums = [distances(rows) for _, _, rows in context.slices(group, weights)]
    return np.mean(sums, axis=0) if sums else None


def distances(rows: np.ndarray) -> np.ndarray:
    """Sum of the Euclidean distances from each row to all others."""
    # The distances stay, and products of small numbers lose fewer digits.
    centre = rows.mean(axis=0)
    total = np.zeros(len(rows))
    for i in range(0, len(rows), ROWS):
        these = rows[i : i + ROWS] - centre
        total[i : i + ROWS] += pairwise(these, these).sum(axis=1)
        for j in range(i + ROWS, len(rows), ROWS):
            between = pairwise(these, rows[j : j + ROWS] - centre)
            total[i : i + ROWS] += between.sum(axis=1)
            total[j : j + ROWS] += between.sum(axis=0)
    return total


def pairwise(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distances from each row of ``a`` to each of ``b``."""
    squares: np.ndarray = a @ b.T
    squares *= -2
    squares += np.einsum("ij,ij->i", a, a)[:, None]
    squares += np.einsum("ij,ij->i", b, b)
    if a is b:
        np.fill_diagonal(squares, 0)
    np.maximum(squares, 0, out=squares)
    return np.sqrt(squares, out=squares)
