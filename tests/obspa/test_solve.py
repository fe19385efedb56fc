"""Least squares with a prior, and the damping that serves data left out."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.obspa.moments import Moments
from spa_kernel.obspa.solve import SHARES, Fit, best, damped_fit, error, fitted

Arrays = tuple[torch.Tensor, torch.Tensor]


def samples(
    count: int, width: int = 6, noise: float = 0.0, mean: float = 2.0, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Inputs (1, D, n), outputs (1, R, n), and the weights that made them."""
    rng = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=rng, dtype=torch.float64)

    weight = torch.randn(1, 3, width, generator=torch.Generator().manual_seed(99)).double()
    x = normal(1, width, count) + mean * torch.arange(width)[:, None] / width
    return x, weight @ x + 5.0 + noise * normal(1, 3, count), weight


def moments(x: torch.Tensor, y: torch.Tensor, folds: int = 2, batches: int = 4) -> Moments:
    found = Moments(folds)
    for number, (a, b) in enumerate(zip(x.chunk(batches, 2), y.chunk(batches, 2), strict=True)):
        found.add(a, b, number % folds)
    return found


def made(fit: Fit, x: torch.Tensor) -> torch.Tensor:
    return fit.weight @ x + fit.offset[..., None]


@given(st.integers(1, 8), st.floats(0, 2), st.integers(0, 1000))
def test_next_to_no_damping_is_least_squares(width: int, noise: float, seed: int) -> None:
    x, y, weight = samples(40, width, noise, seed=seed)
    ones = np.ones((40, 1))
    wanted, *_ = np.linalg.lstsq(np.hstack([x[0].T, ones]), y[0].T, rcond=None)
    found = damped_fit(moments(x, y).of(), torch.zeros_like(weight), 1e-13)
    np.testing.assert_allclose(found[0], wanted[:-1].T, rtol=1e-6, atol=1e-6)
    wanted, *_ = np.linalg.lstsq(x[0].T, y[0].T, rcond=None)
    found = damped_fit(moments(x, y).of().about_zero(), torch.zeros_like(weight), 1e-13)
    np.testing.assert_allclose(found[0], wanted.T, rtol=1e-6, atol=1e-6)


@given(st.sampled_from(SHARES), st.booleans(), st.integers(0, 1000))
def test_damping_is_ridge_regression_towards_the_prior(
    share: float, central: bool, seed: int
) -> None:
    """By numpy, with a row of its own for each weight that is held back."""
    x, y, weight = samples(30, 5, 1.0, seed=seed)
    prior = weight + 0.5
    second = moments(x, y).of() if central else moments(x, y).of().about_zero()
    a, b = x[0].T.numpy(), y[0].T.numpy()
    if central:
        a, b = a - a.mean(0), b - b.mean(0)
    hold = np.sqrt(share * (a**2).sum(0).mean()) * np.eye(5)
    wanted, *_ = np.linalg.lstsq(np.vstack([a, hold]), np.vstack([b, hold @ prior[0].T.numpy()]),
                                 rcond=None)  # fmt: skip
    np.testing.assert_allclose(damped_fit(second, prior, share)[0], wanted.T, rtol=1e-7)


def test_error_is_the_mean_square_as_a_share_of_the_variance() -> None:
    x, y, weight = samples(50, noise=1.0)
    wrong = weight + 0.1
    lost = (y - wrong @ x)[0]
    wanted = (lost.var(1, correction=0) / y[0].var(1, correction=0)).mean()
    assert error(wrong, moments(x, y).of()) == pytest.approx(float(wanted))


def test_much_clean_data_decides_alone() -> None:
    x, y, weight = samples(4000)
    fit = fitted(moments(x, y), torch.zeros_like(weight), True)
    torch.testing.assert_close(fit.weight, weight, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(made(fit, x), y, rtol=1e-2, atol=5e-2)


@pytest.mark.parametrize("central", [True, False])
def test_few_noisy_data_are_held_back_by_the_prior(central: bool) -> None:
    x, y, weight = samples(16, 12, noise=8.0, mean=0.0)
    fit = fitted(moments(x, y), weight, central)
    least = damped_fit(fit.moments, weight, SHARES[0])
    assert (fit.weight - weight).norm() < 0.5 * (least - weight).norm()
    other = moments(*samples(500, 12, mean=0.0, seed=1)[:2]).of()
    other = other if central else other.about_zero()
    assert error(fit.weight, other) < error(least, other)


@pytest.mark.parametrize("folds", [1, 2])
def test_the_offset_makes_up_for_the_means(folds: int) -> None:
    x, y, weight = samples(30, noise=0.5)
    fit = fitted(moments(x, y, folds), weight * 0.3, True)
    torch.testing.assert_close(made(fit, x).mean(2), y.mean(2))
    torch.testing.assert_close(fit.variance, (fit.weight @ x).var(2, correction=0))


def test_no_damping_below_the_least() -> None:
    x, y, weight = samples(500)
    prior = torch.zeros_like(weight)
    fit = fitted(moments(x, y), prior, True, least=SHARES[-1])
    torch.testing.assert_close(fit.weight, damped_fit(fit.moments, prior, SHARES[-1]))


@pytest.mark.parametrize("central", [True, False])
def test_weights_of_dead_inputs_stay(central: bool) -> None:
    x, y, weight = samples(200)
    x[:, 2] = 0.0
    prior = weight + 1.0
    fit = fitted(moments(x, y), prior, central)
    torch.testing.assert_close(fit.weight[..., 2], prior[..., 2])
    # Nothing varies at all.
    fit = fitted(moments(x * 0, y), prior, central)
    torch.testing.assert_close(fit.weight, prior)
    assert fit.offset.isfinite().all()


def test_blocks_are_apart() -> None:
    x, y, weight = samples(60, noise=0.3)
    a, b, _ = samples(60, noise=0.3, seed=5)
    both = moments(torch.cat([x, a]), torch.cat([y, b]))
    prior = torch.cat([weight, weight * 0.5])
    fit = damped_fit(both.of(), prior, 0.1)
    torch.testing.assert_close(fit[:1], damped_fit(moments(x, y).of(), weight, 0.1))
    torch.testing.assert_close(fit[1:], damped_fit(moments(a, b).of(), weight * 0.5, 0.1))


@given(st.integers(0, len(SHARES) - 1), st.sampled_from(SHARES), st.integers(0, 2**16))
def test_the_best_share_is_walked_to(lowest: int, start: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    steps = np.abs(np.arange(len(SHARES)) - lowest)
    errors = dict(zip(SHARES, np.cumsum(rng.random(len(SHARES)) + 0.1)[steps], strict=True))
    tried: list[float] = []

    def one(share: float) -> float:
        tried.append(share)
        return errors[share]

    assert best(SHARES, one, start) == SHARES[lowest]
    assert len(tried) == len(set(tried)) <= abs(SHARES.index(start) - lowest) + 3
