"""Second moments, summed up piece by piece."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.obspa.moments import Moments, Second


def pieces(seed: int, offset: float = 3.0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Inputs (2, 4, n) and outputs (2, 3, n), n different each time."""
    rng = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return offset + torch.randn(shape, generator=rng, dtype=torch.float64)

    return [(draw(2, 4, n), draw(2, 3, n)) for n in (5, 1, 9, 4)]


def check(found: Second, parts: list[tuple[torch.Tensor, torch.Tensor]], rtol: float) -> None:
    x, y = (torch.cat(each, 2).double().numpy() for each in zip(*parts, strict=True))
    assert found.count == x.shape[2]
    np.testing.assert_allclose(found.x, x.mean(2))
    np.testing.assert_allclose(found.y, y.mean(2))
    for g in range(2):
        both = np.cov(np.vstack([x[g], y[g]]), bias=True)
        np.testing.assert_allclose(found.xx[g], both[:4, :4], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(found.yx[g], both[4:, :4], rtol=rtol, atol=rtol)
        np.testing.assert_allclose(found.yy[g], both[4:, 4:].diagonal(), rtol=rtol)


@given(st.integers(0, 100), st.lists(st.integers(0, 1), min_size=4, max_size=4))
def test_they_are_those_of_all_pieces_together(seed: int, folds: list[int]) -> None:
    found, parts = Moments(2), pieces(seed)
    for fold, (x, y) in zip(folds, parts, strict=True):
        found.add(x, y, fold)
    check(found.of(), parts, 1e-9)
    for fold in set(folds):
        own = [part for part, f in zip(parts, folds, strict=True) if f == fold]
        check(found.of(fold), own, 1e-9)


def test_about_zero() -> None:
    found, parts = Moments(), pieces(0)
    for x, y in parts:
        found.add(x, y, 0)
    raw = found.of().about_zero()
    x, y = (torch.cat(each, 2) for each in zip(*parts, strict=True))
    torch.testing.assert_close(raw.xx, x @ x.transpose(1, 2) / 19)
    torch.testing.assert_close(raw.yx, y @ x.transpose(1, 2) / 19)
    torch.testing.assert_close(raw.yy, y.square().mean(2))
    assert not raw.x.any() and not raw.y.any()


def test_large_means_take_no_precision() -> None:
    """In single precision squares of the mean alone would drown what varies about it."""
    found = Moments()
    parts = [(x.float(), y.float()) for x, y in pieces(0, offset=1e4)]
    for x, y in parts:
        found.add(x, y, 0)
    check(found.of(), parts, 1e-3)


def test_without_outputs() -> None:
    found = Moments()
    for x, _ in pieces(0):
        found.add(x, None, 0)
    second = found.of()
    assert (second.y.shape, second.yx.shape, second.yy.shape) == ((2, 0), (2, 0, 4), (2, 0))
    x = torch.cat([x for x, _ in pieces(0)], 2)
    torch.testing.assert_close(second.xx[0], torch.cov(x[0], correction=0))
