"""Second moments of the inputs and outputs of a product, summed up piece by piece."""

from __future__ import annotations

from dataclasses import dataclass

import torch


class Moments:
    """Sums over positions of X X^T, Y X^T, Y^2, X and Y.

    Pieces are added up in double precision; X and Y are taken less a first guess of their means,
    so that little is lost where a mean is much larger than what varies about it.

    Parameters
    ----------
    folds : int
        Parts of the data that are summed up apart, so that each can judge what others say.

    Attributes
    ----------
    count : torch.Tensor
        float64 (folds,).
    x, y : torch.Tensor
        Sums, (folds, G, D) and (folds, G, R); y is empty where no outputs are given.
    xx, yx, yy : torch.Tensor
        (folds, G, D, D), (folds, G, R, D), (folds, G, R).
    """

    def __init__(self, folds: int = 1) -> None:
        self.folds = folds
        self.count = torch.zeros(folds, dtype=torch.float64)

    def add(self, x: torch.Tensor, y: torch.Tensor | None, fold: int) -> None:
        """Inputs (G, D, n), and outputs (G, R, n) where they matter."""
        y = x[:, :0] if y is None else y.to(x.dtype)
        if not self.count.any():
            self._begin(x, y)
        self.count[fold] += x.shape[2]
        x, y = x - self.x0[..., None], y - self.y0[..., None]
        self.x[fold] += x.sum(2, dtype=torch.float64)
        self.y[fold] += y.sum(2, dtype=torch.float64)
        self.yy[fold] += y.square().sum(2, dtype=torch.float64)
        self.xx[fold] += x @ x.transpose(1, 2)
        self.yx[fold] += y @ x.transpose(1, 2)

    def _begin(self, x: torch.Tensor, y: torch.Tensor) -> None:
        (g, d, _), r = x.shape, y.shape[1]
        self.x0, self.y0 = x.mean(2), y.mean(2)

        def zeros(*shape: int) -> torch.Tensor:
            return torch.zeros((self.folds, *shape), dtype=torch.float64, device=x.device)

        self.x, self.y, self.yy = zeros(g, d), zeros(g, r), zeros(g, r)
        self.xx, self.yx = zeros(g, d, d), zeros(g, r, d)

    def of(self, *folds: int) -> Second:
        """The moments of some folds together, by default of all."""
        chosen = list(folds or range(self.folds))
        n = self.count[chosen].sum().to(self.x.device)
        x, y = self.x[chosen].sum(0) / n, self.y[chosen].sum(0) / n
        return Second(
            self.x0 + x,
            self.y0 + y,
            self.xx[chosen].sum(0) / n - x[:, :, None] * x[:, None, :],
            self.yx[chosen].sum(0) / n - y[:, :, None] * x[:, None, :],
            self.yy[chosen].sum(0) / n - y.square(),
            float(n),
        )


@dataclass(frozen=True, slots=True)
class Second:
    """Means and central second moments: (G, D), (G, R), (G, D, D), (G, R, D), (G, R); float64."""

    x: torch.Tensor
    y: torch.Tensor
    xx: torch.Tensor
    yx: torch.Tensor
    yy: torch.Tensor
    count: float

    def about_zero(self) -> Second:
        """The same, not central."""
        return Second(
            torch.zeros_like(self.x),
            torch.zeros_like(self.y),
            self.xx + self.x[:, :, None] * self.x[:, None, :],
            self.yx + self.y[:, :, None] * self.x[:, None, :],
            self.yy + self.y.square(),
            self.count,
        )
