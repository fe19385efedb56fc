"""Statistics of a BatchNorm before which something has changed."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.obspa.batchnorm import Channels, Statistics, matched

EPSILON = 1e-5
channels = st.lists(
    st.tuples(
        st.floats(-5, 5), st.floats(0.01, 5), st.floats(-5, 5), st.floats(0.01, 5),
        st.floats(-5, 5), st.floats(0.2, 5),
    ),
    min_size=1, max_size=5,
)  # fmt: skip


def statistics(rows: list[tuple[float, ...]]) -> list[Statistics]:
    """Stored, dense and pruned; the last with a variance that is some multiple of the dense's."""
    t = torch.tensor(rows, dtype=torch.float64).T
    return [Statistics(t[0], t[1]), Statistics(t[2], t[3]), Statistics(t[4], t[5] * t[3])]


def same(one: Statistics, other: Statistics) -> None:
    torch.testing.assert_close(one.mean, other.mean)
    torch.testing.assert_close(one.variance, other.variance)


@given(channels)
def test_nothing_changes_where_nothing_differs(rows: list[tuple[float, ...]]) -> None:
    stored, dense, _ = statistics(rows)
    same(matched(stored, dense, dense, EPSILON), stored)


@given(channels)
def test_the_mean_of_what_comes_out_is_the_dense_networks(rows: list[tuple[float, ...]]) -> None:
    stored, dense, pruned = statistics(rows)
    new = matched(stored, dense, pruned, EPSILON)

    def normalised(mean: torch.Tensor, by: Statistics) -> torch.Tensor:
        return (mean - by.mean) / (by.variance + EPSILON).sqrt()

    torch.testing.assert_close(normalised(pruned.mean, new), normalised(dense.mean, stored))


@given(channels, st.floats(-3, 3))
def test_a_shift_is_taken_off(rows: list[tuple[float, ...]], shift: float) -> None:
    stored, dense, _ = statistics(rows)
    new = matched(stored, dense, Statistics(dense.mean + shift, dense.variance), EPSILON)
    same(new, Statistics(stored.mean + shift, stored.variance))


def test_more_variance_is_made_up_for_in_part_at_least() -> None:
    one = torch.ones(3, dtype=torch.float64)
    stored = dense = Statistics(0 * one, one)
    new = matched(stored, dense, Statistics(0 * one, torch.tensor([0.5, 1, 2])), EPSILON)
    assert 0.5 - 1e-4 <= new.variance[0] < 1 == new.variance[1] < new.variance[2] <= 2 + 1e-4


def test_channels_that_never_vary_keep_their_variance() -> None:
    zero, one = torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    for dense, pruned in ((zero, zero), (zero, one), (one, zero)):
        new = matched(
            Statistics(one, 2 * one), Statistics(one, dense), Statistics(3 * one, pruned), EPSILON
        )
        same(new, Statistics(3 * one, 2 * one))


def test_channels_are_summed_up_over_batches() -> None:
    found, parts = Channels(), [torch.randn(n, 3, 4, 2) * 2 + 1 for n in (2, 5)]
    for part in parts:
        found.add(part)
    x = torch.cat(parts).double().transpose(0, 1).flatten(1)
    same(found.get(), Statistics(x.mean(1), x.var(1, correction=0)))
