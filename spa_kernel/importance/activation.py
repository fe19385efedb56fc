"""Channels with large activations are kept."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion


@criterion("activation", needs=("activation_size",), per="channel")
def activation(context: Context, group: Group) -> np.ndarray | None:
    """Root mean square of a channel's activations where a later layer reads them.

    Notes
    -----
    ``I(c) = mean over the activations A that carry c ( rms(A_c) / mean over all c' of rms(A_c') )``
    over the activations that convolutions and matrix products sum over, so that none decides by
    its scale alone. Where each head chooses its own channels of queries and keys, over the
    activations that these operators make. A form of the activation criterion of Molchanov et al.,
    "Pruning Convolutional Neural Networks for Resource Efficient Inference" (arXiv 1611.06440).
    Groups with a channel that is in no such activation stay whole.

    Needs batches of inputs.
    """
    size: np.ndarray = context.given["activation_size"][group.labels]
    return None if np.isnan(size).any() else size
