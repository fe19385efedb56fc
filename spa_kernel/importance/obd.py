"""Optimal brain damage."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("obd", needs=("squared_gradient",))
def obd(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Second-order change of the loss when the weight goes, by the diagonal of the Hessian.

    Notes
    -----
    ``S(w) = H_ww * w ** 2 / 2`` of LeCun, Denker and Solla, "Optimal Brain Damage" (NIPS 1989).
    The diagonal of the Hessian is taken to be that of the empirical Fisher matrix,
    ``H_ww = mean over batches of g ** 2`` with ``g`` the gradient of the batch's loss, as in
    Theis et al., "Faster gaze prediction with dense networks and Fisher pruning"
    (arXiv 1801.05787). Needs data with targets, and a loss.
    """
    scores: np.ndarray = 0.5 * np.square(array) * context.given["squared_gradient"][name]
    return scores
