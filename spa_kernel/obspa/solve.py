"""Least squares for the columns that are left, with the damping that serves data left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import torch

from spa_kernel.obspa.moments import Moments, Second

SHARES = 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0
"""Dampings that are tried, as shares of the mean diagonal of the inputs' covariance."""
USUAL = 1e-2
"""The one that is taken where there is only one part of the data."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights that make the best of the inputs that are left.

    Attributes
    ----------
    weight : torch.Tensor
        float64 (G, R, D).
    offset : torch.Tensor
        (G, R), what is to be added to ``weight @ x`` to come to the targets' means.
    moments : Second
        Of inputs and targets.
    """

    weight: torch.Tensor
    offset: torch.Tensor
    moments: Second

    @property
    def variance(self) -> torch.Tensor:
        """Of ``weight @ x``: (G, R)."""
        return ((self.weight @ self.moments.xx) * self.weight).sum(2).clamp(min=0)


def best(shares: Sequence[float], error: Callable[[float], float], start: float) -> float:
    """The share from which the error grows to both sides, walked to from a start.

    Errors fall and then grow with the damping, so most shares need not be tried.

    Parameters
    ----------
    shares : sequence of float
        Ascending.
    error : callable
    start : float
        The walk begins at the first share that is as large.
    """
    tried = cache(error)
    at = next((i for i, share in enumerate(shares) if share >= start), len(shares) - 1)
    for step in (1, -1):
        while 0 <= at + step < len(shares) and tried(shares[at + step]) < tried(shares[at]):
            at += step
    return shares[at]


def fitted(moments: Moments, prior: torch.Tensor, central: bool, least: float = 0.0) -> Fit:
    """Minimise ``|Y - W X|^2 + share · h · n · |W - prior|^2``, h the mean diagonal of X X^T / n.

    The share is the one whose fit to one half of the data has the least error on the other half,
    in both directions together; errors of rows count as shares of their variances.

    Parameters
    ----------
    moments : Moments
        In two folds, or one.
    prior : torch.Tensor
        float64 (G, R, D), the weights so far.
    central : bool
        Whether means are made up for by a bias or a norm, and do not count here.
    least : float
        Shares below this are not tried.
    """

    def part(*folds: int) -> Second:
        found = moments.of(*folds)
        return found if central else found.about_zero()

    shares = [share for share in SHARES if share >= least]
    share = max(USUAL, least)
    if moments.folds > 1 and bool((moments.count > 0).all()):
        halves = [part(fold) for fold in range(moments.folds)]

        def crossed(share: float) -> float:
            return sum(
                error(damped_fit(one, prior, share), other)
                for i, one in enumerate(halves)
                for j, other in enumerate(halves)
                if i != j
            )

        share = best(shares, crossed, USUAL)
    whole = part()
    weight = damped_fit(whole, prior, share)
    offset = whole.y - (weight @ whole.x[..., None])[..., 0]
    return Fit(weight, offset, whole)


def damped_fit(moments: Second, prior: torch.Tensor, share: float) -> torch.Tensor:
    """The minimum for one damping."""
    diagonal = moments.xx.diagonal(dim1=1, dim2=2)
    damping = share * diagonal.mean(1).clamp(min=1e-30)
    damped = moments.xx + torch.diag_embed(damping[:, None].expand_as(diagonal))
    factor, wrong = torch.linalg.cholesky_ex(damped)
    if wrong.any():
        # Rounding made it indefinite: no such weak damping.
        return prior
    right = moments.yx + damping[:, None, None] * prior
    return torch.cholesky_solve(right.transpose(1, 2), factor).transpose(1, 2)


def error(weight: torch.Tensor, moments: Second) -> float:
    """Mean over rows of the squared error, as a share of the target's variance."""
    cross = (weight * moments.yx).sum(2)
    own = ((weight @ moments.xx) * weight).sum(2)
    lost = moments.yy - 2 * cross + own
    known = moments.yy > 1e-12 * moments.yy.mean().clamp(min=1e-30)
    return float((lost / moments.yy.where(known, 1.0))[known].mean()) if known.any() else 0.0
