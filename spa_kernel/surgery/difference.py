"""How far a tensor is from what it should be."""

from __future__ import annotations

import numpy as np


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference, relative to the standard deviation of what is expected."""
    if expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind in "iubOSU":
        return float(np.mean(expected != found)) if expected.size else 0.0
    a, b = expected.astype(np.float64), found.astype(np.float64)
    worst = float(np.max(np.abs(a - b), initial=0.0))
    scale = float(a.std()) or float(np.abs(a).max(initial=0.0)) or 1.0
    return worst / scale
