"""Which of two models is faster, and by how much, on a machine that does other things as well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.stats import trim_mean
from scipy.stats.mstats import trimmed_stde

from spa_kernel.frontends.backend import Timed

WARM_UP = 2
FEWEST = 10
"""Pairs of runs, at least."""
PRECISE = 0.002
"""Relative standard error of the factor that is precise enough."""
PATIENCE = 8.0
"""Seconds of runs after which the factor is taken as it is."""
OUTSIDE = 0.25
"""This fraction of the pairs is left out at either end: something came in between."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds of one forward, before and after.

    Attributes
    ----------
    before : float
        Median of the runs, seconds.
    after : float
        ``before`` divided by the factor, seconds.
    factor : float
        How many times faster: the interquartile mean, in logarithms, over pairs of runs, one of
        each model, one right after the other. Whatever else the machine does slows both runs of a
        pair, so this varies much less than seconds do.
    spread : float
        Standard error of the factor, as a fraction of it.
    runs : int
        How many pairs.
    """

    before: float
    after: float
    factor: float
    spread: float
    runs: int


def compare(before: Timed, after: Timed, patience: float | None = None) -> Latency:
    """Run two models in turns until their factor is known precisely, or for some seconds."""
    patience = PATIENCE if patience is None else patience
    for _ in range(WARM_UP):
        before.seconds()
        after.seconds()
    pairs: list[tuple[float, float]] = []
    spent = 0.0
    while True:
        # Neither is always the first: a machine that slows down is as bad for both.
        if len(pairs) % 2:
            second = after.seconds()
            first = before.seconds()
        else:
            first = before.seconds()
            second = after.seconds()
        pairs.append((first, second))
        spent += first + second
        if len(pairs) < FEWEST or (len(pairs) % FEWEST and spent < patience):
            continue
        times = np.array(pairs)
        factors = np.log(times[:, 0] / times[:, 1])
        spread = float(trimmed_stde(factors, (OUTSIDE, OUTSIDE)))
        if spread <= PRECISE or spent >= patience:
            factor = float(np.exp(trim_mean(factors, OUTSIDE)))
            base = float(np.median(times[:, 0]))
            return Latency(base, base / factor, factor, spread, len(pairs))
