"""Costs of removing channels, against least squares done at length."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_kernel.obspa.greedy import Reader, removal_costs, total


class Layer:
    """A product with samples of its inputs; ``channels`` are those of the group that it reads."""

    def __init__(self, rng: np.random.Generator, channels: list[int], width: int, more: int = 2):
        self.channels, self.width = sorted(channels), width
        own = len(channels) * width
        mix = rng.standard_normal((own + more, own + more))
        self.x = mix @ rng.standard_normal((own + more, 3 * (own + more)))
        self.weight = rng.standard_normal((4, own + more))
        self.scales = rng.random(4) + 0.1

    def columns(self, gone: set[int]) -> list[int]:
        return [
            i * self.width + j
            for i, c in enumerate(self.channels)
            if c in gone
            for j in range(self.width)
        ]

    def cost(self, gone: set[int]) -> float:
        """Of the best weights without these channels, by least squares on the samples."""
        out = self.columns(gone)
        kept = np.setdiff1d(np.arange(len(self.x)), out)
        target = self.weight @ self.x
        best, *_ = np.linalg.lstsq(self.x[kept].T, target.T, rcond=None)
        error = target - best.T @ self.x[kept]
        return float((self.scales @ error**2).sum())

    def reader(self) -> Reader:
        own = slice(len(self.channels) * self.width)
        inverse = np.linalg.inv(self.x @ self.x.T)[own, own]
        gram = self.weight.T @ np.diag(self.scales) @ self.weight
        parts = (torch.from_numpy(np.ascontiguousarray(m)) for m in (inverse, gram[own, own]))
        return Reader(*parts, torch.tensor(self.channels))


@st.composite
def layers(draw: st.DrawFn, size: int) -> list[Layer]:
    """Products that read some channels of one group, with so many columns each."""
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    channels = st.lists(st.integers(0, size - 1), min_size=1, max_size=size, unique=True)
    return [
        Layer(rng, draw(channels), draw(st.integers(1, 3))) for _ in range(draw(st.integers(1, 3)))
    ]


@given(layers(6), st.sets(st.integers(0, 5), max_size=4))
def test_costs_are_those_of_constrained_least_squares(parts: list[Layer], gone: set[int]) -> None:
    """Of each channel alone, also after others have gone."""
    mask = torch.tensor([c in gone for c in range(6)])
    for part in parts:
        reader = part.reader().without(mask)
        left = [c for c in part.channels if c not in gone]
        assert reader.channels.tolist() == left
        wanted = [part.cost({*gone, c}) - part.cost(gone) for c in left]
        np.testing.assert_allclose(
            reader.costs(), wanted, rtol=1e-6, atol=1e-6 * part.cost({*left})
        )


@given(layers(6), st.permutations(range(6)), st.integers(1, 6))
def test_a_set_costs_the_sum_of_the_turns(parts: list[Layer], order: list[int], count: int) -> None:
    """Whatever the order, in a part of the group or in all of it."""
    readers, found = [part.reader() for part in parts], 0.0
    mask = torch.zeros(6, dtype=torch.bool)
    mask[list(order[:count])] = True
    readers = [reader.part(mask) for reader in readers]
    for channel in order[:count]:
        found += float(total(readers, 6)[channel])
        one = torch.arange(6) == channel
        readers = [reader.without(one) for reader in readers]
    wanted = sum(part.cost(set(order[:count])) for part in parts)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-9)


@given(layers(8))
@settings(max_examples=25)
def test_greedy_is_a_plain_loop(parts: list[Layer]) -> None:
    found = removal_costs([part.reader() for part in parts], 8)
    read = {c for part in parts for c in part.channels}
    gone: set[int] = set()
    highest = 0.0
    for _ in range(len(read)):
        before = sum(part.cost(gone) for part in parts)
        turn = {c: sum(p.cost({*gone, c}) for p in parts) - before for c in sorted(read - gone)}
        first = min(turn, key=turn.__getitem__)
        highest = max(highest, turn[first])
        np.testing.assert_allclose(found[first], highest, rtol=1e-5)
        # The order can be told from the costs.
        assert all(found[first] < found[c] for c in read - gone - {first})
        gone.add(first)
    assert all(found[c] == 0 for c in set(range(8)) - read)


def test_the_second_of_two_equals_costs() -> None:
    rng = np.random.default_rng(0)
    part = Layer(rng, list(range(5)), 1)
    part.x[3] = part.x[1] + 1e-6 * rng.standard_normal(part.x.shape[1])
    found = removal_costs([part.reader()], 5)
    pair = sorted(found[[1, 3]])
    assert pair[0] < 1e-8 * pair[1]
    assert pair[1] > 0.1 * np.median(found)


def test_large_groups_are_removed_many_at_a_time() -> None:
    """Nothing is counted twice and nothing left out: in all it costs what all of it costs."""
    size = 150
    part = Layer(np.random.default_rng(0), list(range(size)), 1, more=5)
    found = removal_costs([part.reader()], size)
    assert len(np.unique(found)) == size
    whole = part.cost(set(range(size)))
    assert whole * (1 - 1e-6) < found.sum() < 3 * whole
    # The exact greedy order is hardly better.
    first = np.argsort(found)[: size // 2]
    random = np.random.default_rng(1).permutation(size)[: size // 2]
    assert part.cost(set(first.tolist())) < 0.5 * part.cost(set(random.tolist()))
