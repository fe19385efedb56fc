"""Squared magnitude."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("l2")
def l2(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Square of each weight.

    Notes
    -----
    ``S(w) = w ** 2``; with ``agg="sum"`` it is the squared L2 norm of the coupled channel, with
    ``agg="mean"`` the mean square. No root is taken: it would not change the order within a
    group, and squares add up over the parameters of a coupled channel (as the group magnitude
    of Fang et al., "DepGraph", arXiv 2301.12900).
    """
    scores: np.ndarray = np.square(array)
    return scores
