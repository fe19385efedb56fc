"""The latency table: what it makes of samples, and plans that are made with it."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import spa_kernel as spa
from spa_kernel.plan import make_plan
from spa_kernel.plan.latency import LatencyTable, Sample, monotone

REST = 5e-4
RATIOS = 0.0, 0.25, 0.5, 0.75, 0.9


@pytest.fixture(scope="module")
def session():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 32, 3), nn.ReLU(), nn.Conv2d(32, 48, 3), nn.ReLU(), nn.Conv2d(48, 8, 1)]
    return spa.analyze(nn.Sequential(*layers), (1, 3, 12, 12))


@pytest.fixture(scope="module")
def widths(session):
    """By ratio: what goes, and the FLOPs of every operator then."""
    analysis, found = session.analysis, {}
    number = {node.name: i for i, node in enumerate(analysis.graph.nodes)}
    for ratio in RATIOS:
        removed = session.plan(ratio=ratio, scope="local").mask(analysis.coupling)
        work = np.zeros(len(number))
        for entry in analysis.cost.table(removed):
            work[number[entry.name]] = entry.after
        found[ratio] = removed, work
    return found


def sampled(session, widths, seconds_of, ratios=RATIOS):
    """A table from samples whose parts, one operator each, take ``seconds_of(work)``."""
    samples = []
    for removed, work in (widths[ratio] for ratio in ratios):
        taken = seconds_of(work)
        samples.append(Sample(removed, taken, 2 * taken.sum() + REST))
    parts = [[node] for node in session.analysis.graph.nodes]
    return LatencyTable(session.analysis.cost.axes, parts, samples)


def test_linear_times_are_found_again_everywhere(session, widths):
    """Also at widths that were never measured."""
    table = sampled(session, widths, lambda work: 1e-9 * work)
    flops = session.analysis.cost.measure("flops")
    rng = np.random.default_rng(0)
    for _ in range(20):
        removed = ~session.analysis.coupling.frozen & (rng.random(table.axes.count) < 0.5)
        assert table.count(removed) == pytest.approx(2e-9 * flops.count(removed) + REST, rel=1e-6)
        slope = 2e-9 * flops.slope(removed)
        np.testing.assert_allclose(table.slope(removed), slope, rtol=1e-6, atol=1e-15)


def test_samples_are_met(session, widths):
    """Where times grow with the work, a table says at a sample what was measured there."""
    table = sampled(session, widths, lambda work: 1e-6 * np.sqrt(work))
    for removed, work in widths.values():
        taken = 2e-6 * np.sqrt(work).sum() + REST
        assert table.count(removed) == pytest.approx(taken, rel=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_less_never_takes_longer(session, widths, seed):
    """However noisy the samples are."""
    rng = np.random.default_rng(seed)
    table = sampled(session, widths, lambda work: rng.random(len(work)))
    free = np.flatnonzero(~session.analysis.coupling.frozen)
    removed = np.zeros(table.axes.count, dtype=bool)
    before = table.base
    for chunk in np.array_split(rng.permutation(free)[: len(free) - 5], 10):
        removed[chunk] = True
        after = table.count(removed)
        assert 0 <= after <= before * (1 + 1e-9)
        assert (table.slope(removed) >= -1e-15).all()
        before = after


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.booleans())
def test_monotone(values, still):
    seconds = np.array([values])
    work = np.zeros_like(seconds) if still else np.arange(len(values), dtype=float)[None]
    fitted = monotone(work, seconds)
    assert (np.diff(fitted) >= 0).all()
    if (np.diff(values) >= 0).all() and not still:
        np.testing.assert_array_equal(fitted, seconds)
    if still:
        assert (fitted == np.median(values)).all()


@pytest.mark.parametrize("target", [1.2, 1.5, 2.0, 3.0])
def test_plans_meet_the_table(session, widths, target):
    table = sampled(session, widths, lambda work: 1e-9 * work)
    analysis = session.analysis
    plan = make_plan(
        analysis.graph, analysis.coupling, analysis.cost, session.importance("l1"),
        latency=target, table=table,
    )  # fmt: skip
    reached = table.base / table.count(plan.mask(analysis.coupling))
    assert target <= reached <= 1.02 * target
