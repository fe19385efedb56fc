"""Scores made comparable between groups."""

from __future__ import annotations

import numpy as np

NORMALISATIONS = ("none", "sum", "mean", "max", "minmax", "gaussian")


def normalise(scores: np.ndarray, norm: str) -> np.ndarray:
    """Normalise the scores of one group; their order stays.

    Sum, mean and maximum are those of the absolute scores, since dividing by a negative number
    would turn the order round.
    """
    scores = np.asarray(scores, dtype=np.float64)
    if norm == "none" or not scores.size:
        return scores
    if norm == "minmax":
        return ratio(scores - scores.min(), float(np.ptp(scores)))
    if norm == "gaussian":
        return ratio(scores - scores.mean(), float(scores.std()))
    sizes = np.abs(scores)
    divisors = {"sum": sizes.sum(), "mean": sizes.mean(), "max": sizes.max()}
    return ratio(scores, float(divisors[norm]))


def ratio(scores: np.ndarray, divisor: float) -> np.ndarray:
    """Divide, unless by nothing."""
    return scores / divisor if divisor else scores
