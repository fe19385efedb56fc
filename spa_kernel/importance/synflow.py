"""Synaptic flow."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("synflow", needs=("flow",))
def synflow(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Share of the weight in what flows from an input of ones to the outputs; no data.

    Notes
    -----
    ``S(w) = | |w| * dR/d|w| |``, with ``R`` the sum of the outputs of the network with absolute
    weights on an input of ones, in evaluation mode with running means of zero; Tanaka et al.,
    "Pruning neural networks without any data by iteratively conserving synaptic flow"
    (arXiv 2006.05467). Meant for many small steps (``steps=``). Of linear layers, ReLU and
    BatchNorm each layer carries the same flow; a LayerNorm of equal numbers lets none pass.
    """
    scores: np.ndarray = array * context.given["flow"][name]
    return np.abs(scores, out=scores)
