"""Channels that are rarely zero are kept."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion


@criterion("apoz", needs=("zero_share",), per="channel")
def apoz(context: Context, group: Group) -> np.ndarray | None:
    """Share of a channel's activations that are not zero.

    Notes
    -----
    ``I(c) = 1 - mean over the rectified activations that carry c ( zeros / entries )``: one less
    the average percentage of zeros of Hu et al., "Network Trimming" (arXiv 1607.03250), here over
    every Relu, Clip at zero, HardSwish, HardSigmoid, Shrink and Threshold that a coupled channel
    passes.
    Groups with a channel that passes none (smooth activations never are zero) stay whole.

    Needs batches of inputs.
    """
    share: np.ndarray = context.given["zero_share"][group.labels]
    return None if np.isnan(share).any() else 1 - share
