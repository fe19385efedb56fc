"""Optimal Brain Surgeon: what removing a weight costs when the rest of its row makes up for it."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("obs", needs=("inverse_hessian_diagonal",))
def obs(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Squared weight over the diagonal of the inverse Hessian of its layer.

    Notes
    -----
    ``S(W_ij) = W_ij ** 2 / [H^-1]_jj`` with ``H = 2 / n X X^T`` over the n inputs X of the layer
    (a convolution's patches, for each of its groups), damped by 1 % of its mean diagonal: Hassibi
    and Stork, 1993, layer by layer as in Frantar and Alistarh, "Optimal Brain Compression" (arXiv
    2208.11580) and "SparseGPT" (arXiv 2301.00774). Inputs that are always zero score zero. A
    parameter that meets no input (a bias, the scale of a normalisation, a table that is looked
    up, recurrent weights) is taken as multiplied by 1 and alone in its row: ``2 * w ** 2``.

    Needs batches of inputs.
    """
    inverse = context.given["inverse_hessian_diagonal"].get(name, np.float32(0.5))
    scores: np.ndarray = np.square(array) / inverse
    return scores
