"""Magnitude times the size of what the weight is multiplied by."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion


@criterion("wanda", needs=("input_norm",))
def wanda(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Absolute weight times the root mean square of its input.

    Notes
    -----
    ``S(W_ij) = |W_ij| * sqrt(mean of X_j ** 2)``, after Sun et al., "A Simple and Effective
    Pruning Approach for Large Language Models" (arXiv 2306.11695), whose norm is divided by the
    root of the number of positions here. Thereby biases (multiplied by 1), scales of
    normalisations (by numbers of mean square 1) and tables (looked up) are comparable: they, and
    the recurrent weights of LSTM and GRU, count with ``|w|``. In a convolution X_j are the entries
    of its patches, padding included.

    Needs batches of inputs.
    """
    scores: np.ndarray = np.abs(array) * context.given["input_norm"].get(name, np.float32(1))
    return scores
