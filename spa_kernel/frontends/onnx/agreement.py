"""Whether a model that was written in another framework computes what it did before."""

from __future__ import annotations

import numpy as np

from spa_kernel.surgery.difference import difference

EXACT = 1e-4
"""The largest error that is taken for rounding, relative to an output's deviation."""
ROUNDING = 1e-6
"""The same relative to the largest number, for outputs that hardly differ among themselves."""


def disagreement(expected: np.ndarray, found: np.ndarray) -> float:
    """By how much of its deviation an output differs; 0 where only by its last digits.

    A network that was never trained may give nearly the same probability to every class.
    """
    if expected.shape == found.shape and expected.dtype.kind == "f" and expected.size:
        worst = np.abs(expected.astype(np.float64) - found).max()
        if worst <= ROUNDING * np.abs(expected).max():
            return 0.0
    return difference(expected, found)
