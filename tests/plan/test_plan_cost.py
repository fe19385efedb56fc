import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_networks import Maker, brute_force, random_network

from spa_kernel.plan import CostModel
from spa_kernel.plan.axes import DistinctAxes

SEEDS = st.integers(0, 10**6)


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0, 1))
def test_counts_equal_brute_force(seed: int, share: float) -> None:
    coupling = random_network(seed).coupling
    removed = (np.random.default_rng(seed).random(coupling.count) < share) & ~coupling.frozen
    cost = CostModel(coupling.graph, coupling)
    assert (cost.flops(removed), cost.params(removed)) == brute_force(coupling, removed)
    assert cost.base == brute_force(coupling, np.zeros_like(removed))
    table = cost.table(removed)
    assert sum(row.after for row in table) == cost.flops(removed)
    assert sum(row.before for row in table) == cost.base[0]


@settings(max_examples=30, deadline=None)
@given(SEEDS)
def test_slope_bounds_the_saving_of_one_label(seed: int) -> None:
    coupling = random_network(seed).coupling
    rng = np.random.default_rng(seed)
    removed = (rng.random(coupling.count) < 0.3) & ~coupling.frozen
    cost = CostModel(coupling.graph, coupling)
    for quantity in ("flops", "params", "memory"):
        measure = cost.measure(quantity)
        now, slope = measure.count(removed), measure.slope(removed)
        for label in np.flatnonzero(~coupling.frozen):
            other = removed.copy()
            other[label] ^= True
            change = measure.count(other) - now
            assert change >= slope[label] - 1e-6 if removed[label] else -change <= slope[label]


def test_axes_with_equal_labels_are_one() -> None:
    make = Maker()
    a, b = make.group(4), make.group(6)
    make.dense(make.axis(a), make.axis(b))
    make.dense(make.axis(b), make.axis(a))
    axes = DistinctAxes(make.coupling)
    assert len(axes.lengths) == 2
    assert len(axes.number) == len(make.coupling.axes)


def test_large_counts_do_not_overflow() -> None:
    make = Maker()
    a = make.group(3)
    make.dense(make.axis(a), 7, rows=2**62)
    cost = CostModel(make.graph, make.coupling)
    removed = np.zeros(make.coupling.count, dtype=bool)
    removed[a.labels[0]] = True
    assert cost.base[0] == 2**63 * 21
    assert cost.flops(removed) == 2**63 * 14


def test_a_mask_of_another_model_is_refused() -> None:
    make = random_network(1)
    with pytest.raises(ValueError, match="one per label"):
        CostModel(make.graph, make.coupling).flops(np.zeros(3, dtype=bool))
