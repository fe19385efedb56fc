from __future__ import annotations

import numpy as np
import pytest

from spa_kernel.obspa.noise import ALIKE, coloured, leaves, pictures

SHAPES = [(3, (24, 40)), (1, (200,)), (2, (9, 10, 11)), (4, (1,)), (1, (3, 1))]
makers = pytest.mark.parametrize("make", [coloured, leaves])


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("channels", "space"), SHAPES)
def test_pictures_have_any_shape_and_come_from_the_seed(
    channels: int, space: tuple[int, ...]
) -> None:
    one, again, other = (pictures(generator(s), 5, channels, space) for s in (1, 1, 2))
    assert one.shape == (5, channels, *space)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_mean_and_deviation_are_standard_and_pictures_differ() -> None:
    made = pictures(generator(), 400, 3, (8, 8))
    assert abs(made.mean()) < 0.1
    assert abs(made.std() - 1) < 0.1
    assert made.mean((1, 2, 3)).std() > 0.2
    assert made.std((1, 2, 3)).std() > 0.2


@makers
def test_neighbours_and_channels_are_alike(make: object) -> None:
    assert callable(make)
    rng = generator()
    made = np.stack([make(rng, 3, (32, 32)) for _ in range(40)])
    flat = made - made.mean((2, 3), keepdims=True)
    power = np.square(flat).mean()
    for along in (2, 3):
        step = np.diff(flat, axis=along)
        # Of white noise it is twice the power.
        assert np.square(step).mean() < power
    between = np.corrcoef(made.transpose(1, 0, 2, 3).reshape(3, -1))
    assert (between[~np.eye(3, dtype=bool)] > ALIKE - 0.25).all()


def test_leaves_have_edges_and_coloured_noise_has_none() -> None:
    """Steps between neighbours: a few large ones among many small ones, or all of a kind."""

    def peaked(make: object) -> float:
        assert callable(make)
        rng = generator()
        steps = [np.diff(make(rng, 1, (64, 64))).ravel() for _ in range(20)]
        return float(np.mean([np.mean(s**4) / np.mean(s**2) ** 2 for s in steps]))

    assert peaked(coloured) < 4 < 8 < peaked(leaves)
