"""From scores to colours, so that a few outliers do not take all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np

Kind = Literal["linear", "log", "rank"]

ENDS = 0.01, 0.99
"""Quantiles where the colours end."""
DECADES = 30.0
"""A ratio that equal steps of colour show badly."""
STEPS = 129
"""Quantiles that a scale by rank knows, at most."""
WORDS: dict[Kind, str] = {
    "linear": "linear scale",
    "log": "logarithmic scale",
    "rank": "scale by rank",
}


@dataclass(frozen=True, slots=True, eq=False)
class Scale:
    """Where between the first and the last colour a score lies.

    Attributes
    ----------
    kind : {"linear", "log", "rank"}
        Equal steps of colour are equal differences, equal factors, or equally many channels.
    values, places : numpy.ndarray
        Some scores (their logarithms), increasing, and where they lie (0 to 1).
    """

    kind: Kind
    values: np.ndarray
    places: np.ndarray

    def __call__(self, scores: np.ndarray) -> np.ndarray:
        """Places of scores, 0 to 1."""
        if len(self.values) == 1:
            return np.full(len(scores), 0.5)
        if self.kind == "log":
            scores = np.log10(np.maximum(scores, np.finfo(np.float64).tiny))
        return np.interp(scores, self.values, self.places)

    def score(self, place: float) -> float:
        """The score at a place."""
        value = float(np.interp(place, self.places, self.values))
        return float(10.0**value) if self.kind == "log" else value


def scale(scores: Sequence[np.ndarray], kind: Kind | None = None) -> Scale:
    """The scale of some groups together.

    Parameters
    ----------
    scores : sequence of numpy.ndarray
    kind : {"linear", "log", "rank"}, optional
        By default as suits the scores: linear unless they span decades; then logarithmic, or by
        rank where some are below zero.
    """
    pooled = np.concatenate(scores)
    kind = kind or fitting(pooled)
    if kind == "rank":
        steps = min(STEPS, len(pooled))
        quantiles = np.quantile(pooled, np.linspace(0, 1, steps))
        values, first = np.unique(quantiles, return_index=True)
        last = np.append(first[1:], steps) - 1
        return Scale(kind, values, (first + last) / 2 / max(steps - 1, 1))
    if kind == "log":
        pooled = np.log10(pooled[pooled > 0])
    ends = np.unique(np.quantile(pooled, ENDS))
    if len(ends) == 1:
        # All but the few outermost are equal.
        ends = np.unique([pooled.min(), pooled.max()])
    return Scale(kind, ends, np.linspace(0, 1, len(ends)))


def scales(scores: Sequence[np.ndarray]) -> list[Scale]:
    """A scale of its own for each group, all of one kind."""
    kinds = [fitting(each) for each in scores]
    kind = max(WORDS, key=kinds.count)
    return [
        scale([each], kind if kind != "log" or (each > 0).any() else "linear") for each in scores
    ]


def fitting(scores: np.ndarray) -> Kind:
    """The kind of scale that suits some scores."""
    low, high = np.quantile(scores, ENDS)
    if scores.min() < 0:
        inner = np.subtract(*np.quantile(scores, [0.75, 0.25]))
        return "rank" if high - low > DECADES * inner else "linear"
    positive = scores[scores > 0]
    if positive.size and high > DECADES * np.quantile(positive, ENDS[0]):
        return "log"
    return "linear"


def brief(score: float) -> str:
    """A score to three digits.

    Examples
    --------
    >>> brief(0.12345), brief(2.91e6), brief(-1.5e-12)
    ('0.123', '2.91e6', '-1.5e-12')
    """
    digits, e, power = f"{score:.3g}".partition("e")
    return f"{digits}e{int(power)}" if e else digits


@cache
def palette() -> np.ndarray:
    """uint8 (256, 3): matplotlib's viridis, even to the eye and for any colour vision."""
    from matplotlib import colormaps

    return np.round(colormaps["viridis"](np.linspace(0, 1, 256))[:, :3] * 255).astype(np.uint8)


def colours(places: np.ndarray) -> np.ndarray:
    """uint8 (n, 3): colours of places from 0 to 1."""
    return palette()[np.round(np.clip(places, 0, 1) * 255).astype(np.int64)]
