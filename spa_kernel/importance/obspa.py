"""Optimal Brain SPA: what removing a channel costs when those that stay make up for it."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion


@criterion(
    "obspa",
    needs=("removal_cost",),
    per="channel",
    norm="none",
    cost_weight=1.0,
    reconstruct=True,
)
def obspa(context: Context, group: Group) -> np.ndarray | None:
    """Least loss of removing a channel, at its turn; weights are reconstructed after the prune.

    Notes
    -----
    ``tr(G W_S ([H^-1]_SS)^-1 W_S^T)``, summed over the products that read the channel by their
    columns S: H is the covariance of their inputs, G weighs their rows by the squared derivative
    of the network's output. Channels of a group are removed one after the other, the cheapest
    first, with inverses that are those of what is left (Hassibi and Stork, 1993, for blocks of
    columns as in arXiv 2203.07259; Wang et al., arXiv 2403.18955). A channel that no product
    reads costs what the derivative by a gate on it says.

    Needs batches of inputs; without, such are made from the network alone.
    """
    return context.given["removal_cost"].get(group.id)
