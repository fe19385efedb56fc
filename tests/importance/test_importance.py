import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import DataNeeded, InfeasibleTarget
from spa_kernel.graph.ir import Graph, Value
from spa_kernel.importance import NORMALISATIONS, Context, criteria, criterion, find, group_scores
from spa_kernel.importance.registry import _CRITERIA, Criterion

Weights = dict[str, np.ndarray]


def network(seed: int = 0) -> tuple[Coupling, Weights]:
    """Two groups; a convolution, an axis of two labels per index, a vector, and a buffer."""
    rng = np.random.default_rng(seed)
    a, b = np.arange(1, 5), np.arange(5, 8)
    pairs = np.stack([np.repeat(a, 3), np.tile(b, 4)], axis=1)
    shapes = {
        "conv.weight": ((4, 3, 3, 3), {0: a[:, None], 1: b[:, None]}),
        "conv.bias": ((4,), {0: a[:, None]}),
        "head.weight": ((5, 12), {1: pairs}),
        "twice.weight": ((4, 2), {0: np.stack([a, a], axis=1)}),
        "norm.mean": ((4,), {0: a[:, None]}),
        "free.weight": ((4, 4), {}),
    }
    coupling = Coupling(Graph(), {}, 8, np.arange(8) == 0, {0: "fixed"})
    weights: Weights = {}
    for name, (shape, axes) in shapes.items():
        value = Value(name, shape, "buffer" if "mean" in name else "parameter")
        coupling.graph.stored[name] = value
        for axis, labels in axes.items():
            coupling.axes[value, axis] = labels
        weights[name] = rng.standard_normal(shape).astype(np.float32)
    coupling.groups = [
        Group("g1", "conv", a, [("conv.weight", 0)]),
        Group("g2", "stem", b[::-1].copy(), [("conv.weight", 1)], False, "frozen"),
    ]
    return coupling, weights


def elements(coupling: Coupling, weights: Weights, label: int) -> np.ndarray:
    """All elements that go with a label, axis by axis."""
    found = []
    for (value, axis), labels in coupling.axes.items():
        if value.kind == "parameter":
            rows = np.flatnonzero((labels == label).any(axis=1))
            found.append(np.take(weights[value.name], rows, axis=axis).ravel())
    return np.concatenate(found).astype(np.float64)


AGGREGATES = {
    "sum": np.sum,
    "mean": np.mean,
    "max": np.max,
    "prod": lambda s: np.exp(np.mean(np.log(s))),
}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(list(AGGREGATES)), st.sampled_from(["l1", "l2"]))
def test_scores_equal_brute_force(seed: int, agg: str, name: str) -> None:
    coupling, weights = network(seed)
    got = group_scores(coupling, weights.__getitem__, name, agg=agg, norm="none")
    for group in coupling.groups:
        for score, label in zip(got[group.id], group.labels, strict=True):
            own = elements(coupling, weights, int(label))
            wanted = AGGREGATES[agg](np.abs(own) if name == "l1" else own**2)
            assert score == pytest.approx(wanted, rel=1e-5)
        assert got[group.id].dtype == np.float64


@pytest.mark.parametrize("norm", NORMALISATIONS)
def test_normalisation_keeps_the_order(norm: str) -> None:
    coupling, weights = network()
    raw = group_scores(coupling, weights.__getitem__, "l1", norm="none")["g1"]
    got = group_scores(coupling, weights.__getitem__, "l1", norm=norm)["g1"]
    assert np.array_equal(np.argsort(raw), np.argsort(got))
    expected = {
        "none": (got.sum(), raw.sum()),
        "sum": (got.sum(), 1),
        "mean": (got.mean(), 1),
        "max": (got.max(), 1),
        "minmax": (np.ptp(got), 1),
        "gaussian": (got.std() + got.mean(), 1),
    }
    assert expected[norm][0] == pytest.approx(expected[norm][1])


@pytest.mark.parametrize("norm", NORMALISATIONS)
def test_equal_and_zero_scores_stay_numbers(norm: str) -> None:
    coupling, weights = network()
    for agg in AGGREGATES:
        for fill in (0.0, 2.0):
            same = {name: np.full_like(w, fill) for name, w in weights.items()}
            got = group_scores(coupling, same.__getitem__, "l1", agg=agg, norm=norm)
            assert all(np.isfinite(s).all() and np.ptp(s) < 1e-9 for s in got.values())


def test_random_depends_on_the_seed_alone() -> None:
    (coupling, weights), (_, others) = network(0), network(1)
    first = group_scores(coupling, weights.__getitem__, "random", seed=3)
    again = group_scores(coupling, others.__getitem__, "random", seed=3)
    different = group_scores(coupling, weights.__getitem__, "random", seed=4)
    coupling.groups = coupling.groups[1:]
    alone = group_scores(coupling, weights.__getitem__, "random", seed=3)
    assert np.array_equal(first["g1"], again["g1"])
    assert not np.array_equal(first["g1"], different["g1"])
    assert np.array_equal(first["g2"], alone["g2"])


def test_registry() -> None:
    known = criteria()
    assert {"l1", "l2", "random"} <= set(known)
    assert known["l1"].summary == "Absolute value of each weight."
    assert find(known["l1"]) is known["l1"]
    with pytest.raises(InfeasibleTarget, match="did you mean 'random'"):
        find("randon")


def test_a_new_criterion_is_one_function() -> None:
    coupling, weights = network()
    try:

        @criterion("cubed", needs=("gradient",))
        def cubed(context: Context, name: str, array: np.ndarray) -> np.ndarray:
            """Third power."""
            return np.abs(array * context.given["gradient"][name]) ** 3

        assert criteria()["cubed"] == Criterion("cubed", cubed, "Third power.", ("gradient",))
        with pytest.raises(DataNeeded, match="gradient"):
            group_scores(coupling, weights.__getitem__, "cubed")
        given = {"gradient": weights}
        assert group_scores(coupling, weights.__getitem__, "cubed", given=given)["g1"].shape == (4,)
    finally:
        _CRITERIA.pop("cubed", None)


def test_a_plain_function_is_a_criterion() -> None:
    coupling, weights = network()
    got = group_scores(coupling, weights.__getitem__, lambda context, name, array: abs(array))
    assert np.array_equal(got["g1"], group_scores(coupling, weights.__getitem__, "l1")["g1"])


def test_integers_and_booleans_are_scores() -> None:
    coupling, weights = network()
    got = group_scores(coupling, weights.__getitem__, lambda c, n, array: array > 0, norm="none")
    assert ((got["g1"] > 0) & (got["g1"] < 1)).all()


def test_errors_say_what_exists() -> None:
    coupling, weights = network()
    read = weights.__getitem__
    with pytest.raises(InfeasibleTarget, match=r"agg='median'.*sum, mean, max, prod"):
        group_scores(coupling, read, "l1", agg="median")
    with pytest.raises(InfeasibleTarget, match="did you mean 'gaussian'"):
        group_scores(coupling, read, "l1", norm="gausian")
    with pytest.raises(InfeasibleTarget, match=r"one per element"):
        group_scores(coupling, read, lambda context, name, array: array.sum(axis=0))
    channel = Criterion("bad", lambda context, group: np.ones(1), per="channel")
    with pytest.raises(InfeasibleTarget, match=r"one per channel"):
        group_scores(coupling, read, channel)
    weights["conv.bias"][0] = np.nan
    with pytest.raises(InfeasibleTarget, match=r"not finite for 'conv.bias'"):
        group_scores(coupling, read, "l1")


def test_large_networks_are_scored_fast() -> None:
    coupling = Coupling(Graph(), {}, 1025, np.arange(1025) == 0, {})
    labels = np.arange(1, 1025)
    coupling.groups = [Group("g1", "conv", labels, [])]
    weight = np.ones((1024, 1024, 3, 3), dtype=np.float32)
    for i in range(2):
        value = Value(f"w{i}", weight.shape, "parameter")
        coupling.graph.stored[value.name] = value
        coupling.axes[value, 0] = coupling.axes[value, 1] = labels[:, None]
    start = time.perf_counter()
    group_scores(coupling, lambda name: weight, "l1")
    assert time.perf_counter() - start < 3
