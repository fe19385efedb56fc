"""Gradient signal preservation."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("grasp", needs=("tempered_hessian_gradient",))
def grasp(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Weight times (Hessian times gradient), with its sign: what the weight adds to gradient flow.

    Notes
    -----
    ``S(w) = w * (H g)_w``, with an output that is a tensor (logits) divided by a temperature of
    200. Without the weight the squared norm of the gradient changes by ``-2 * S(w)``, to first
    order. Wang et al., "Picking Winning Tickets Before Training by Preserving Gradient Flow"
    (arXiv 2002.07376), call ``-w * (H g)_w`` the score and remove the weights where it is
    largest; here the least go first, so the sign is turned. Scores may be below zero, which
    suits ``agg="sum"`` or ``"mean"``. Needs data with targets, and a loss.
    """
    scores: np.ndarray = array * context.given["tempered_hessian_gradient"][name]
    return scores
