"""Gradient flow, whichever way it changes."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("crop", needs=("hessian_gradient",))
def crop(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Absolute weight times (Hessian times gradient): how much gradient flow feels the weight.

    Notes
    -----
    ``S(w) = |w * (H g)_w|``: Rachwan et al., "Winning the Lottery Ahead of Time: Efficient Early
    Network Pruning" (arXiv 2206.10451), who keep the flow as it is, where GraSP would have it
    grow; no temperature. Needs data with targets, and a loss.
    """
    scores: np.ndarray = array * context.given["hessian_gradient"][name]
    return np.abs(scores, out=scores)
