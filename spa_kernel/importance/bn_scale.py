"""Scales of batch normalisation, the criterion of Network Slimming."""

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion

OPERATORS = ("BatchNormalization", "InstanceNormalization")


@criterion("bn_scale", per="channel")
def bn_scale(context: Context, group: Group) -> np.ndarray | None:
    """Absolute scale of the batch normalisation behind each channel.

    Notes
    -----
    ``S(channel) = mean |gamma|`` over the scales of all batch (and instance) normalisations that
    carry the coupled channel; of Liu et al., "Learning Efficient Convolutional Networks through
    Network Slimming" (arXiv 1708.06519), who train with an L1 penalty on the scales first.

    Needs weights only. Which parameters are scales is read from the graph. Nothing is said of a
    group without one, so it stays whole; ``agg`` does not matter.
    """
    scales = {
        scale.name
        for node in context.coupling.graph.nodes
        if node.op in OPERATORS and (scale := node.inputs[1]) is not None and scale.stored
    }
    found = [rows for _, _, rows in context.slices(group, scales)]
    if not found:
        return None
    mean: np.ndarray = np.abs(np.concatenate(found, axis=1)).mean(axis=1)
    return mean
