"""Connection sensitivity."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("snip", needs=("gradient",))
def snip(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Absolute weight times gradient: how much the loss feels the weight.

    Notes
    -----
    ``S(w) = |w * g|`` with ``g`` the gradient of the loss, mean over batches; Lee et al., "SNIP:
    Single-shot Network Pruning based on Connection Sensitivity" (arXiv 1810.02340), there before
    training. Needs data with targets, and a loss.
    """
    scores: np.ndarray = array * context.given["gradient"][name]
    return np.abs(scores, out=scores)
