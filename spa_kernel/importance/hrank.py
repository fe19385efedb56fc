"""Channels whose feature maps are rich are kept."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion


@criterion("hrank", needs=("feature_rank",), per="channel")
def hrank(context: Context, group: Group) -> np.ndarray | None:
    """Mean rank of a channel's feature maps.

    Notes
    -----
    ``I(c) = mean over pictures and over the activations A that carry c ( rank(A_c) )``, A_c a
    matrix (height, width): Lin et al., "HRank" (arXiv 2002.10179), over the feature maps that
    convolutions read. Groups with a channel that has none (tokens, vectors) stay whole. Each map
    costs a singular value decomposition, so only the first 32 pictures are looked at.

    Needs batches of inputs.
    """
    rank: np.ndarray = context.given["feature_rank"][group.labels]
    return None if np.isnan(rank).any() else rank
