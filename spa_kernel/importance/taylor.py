"""First-order Taylor expansion of the loss."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion


@criterion("taylor", needs=("gate_gradient",), per="channel")
def taylor(context: Context, group: Group) -> np.ndarray:
    """Squared first-order change of the loss when the coupled channel goes.

    Notes
    -----
    ``S = mean over batches of (sum of w * g) ** 2``, with ``g`` the gradient of the batch's loss:
    the joint importance of a set of weights of Molchanov et al., "Importance Estimation for
    Neural Network Pruning" (arXiv 1906.10771). The sum is over the weights that read the coupled
    channel in convolutions and matrix products, which is the derivative of the loss by a gate on
    the channel; those that make it would count the same once more. (Over all of its parameters
    where nothing reads it, as with query and key of an attention; a weight that is used several
    times, as a tied embedding, counts with all of its uses.) With batches of a single
    picture it is Fisher pruning (arXiv 1801.05787): many small batches say more than a few large
    ones. ``agg`` has no part in it. Needs data with targets, and a loss.
    """
    gates: np.ndarray = context.given["gate_gradient"][:, group.labels]
    scores: np.ndarray = np.square(gates).mean(axis=0)
    return scores
