"""Magnitude."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("l1")
def l1(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Absolute value of each weight.

    Notes
    -----
    ``S(w) = |w|``; summed over a channel it is the L1 norm of Li et al., "Pruning Filters for
    Efficient ConvNets" (arXiv 1608.08710), here over every parameter that the coupled channel
    touches.
    """
    scores: np.ndarray = np.abs(array)
    return scores
