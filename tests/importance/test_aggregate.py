"""Elements to channels: every aggregation and normalisation against plain loops."""

import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from importance_networks import NETWORKS, analysed, slices, synthetic

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Graph, Value
from spa_kernel.importance import AGGREGATIONS, NORMALISATIONS, Context, group_scores
from spa_kernel.importance.normalise import normalise

BRUTE: dict[str, Callable[[list[np.ndarray]], float]] = {
    "sum": lambda parts: float(np.concatenate(parts).sum()),
    "mean": lambda parts: float(np.concatenate(parts).mean()),
    "max": lambda parts: float(np.concatenate(parts).max()),
    "prod": lambda parts: float(np.exp(np.log(np.concatenate(parts)).mean())),
    "median": lambda parts: float(np.median(np.concatenate(parts))),
    "first": lambda parts: float(parts[0].mean()),
}
ELEMENTS = {"l1": np.abs, "l2": np.square}


def signed(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    return array


def agrees(
    got: dict[str, np.ndarray],
    coupling: Coupling,
    weights: dict[str, np.ndarray],
    score: Callable[[np.ndarray], np.ndarray],
    agg: str,
) -> None:
    """Raw scores of all groups equal what a loop over channels finds."""
    assert list(got) == [group.id for group in coupling.groups]
    for group in coupling.groups:
        wanted = [
            BRUTE[agg]([score(part) for _, part in slices(coupling, weights, group, int(label))])
            for label in group.labels
        ]
        assert got[group.id] == pytest.approx(wanted, rel=1e-5, abs=1e-7)
        assert got[group.id].dtype == np.float64


@given(st.integers(0, 10**6), st.sampled_from(AGGREGATIONS), st.sampled_from(list(ELEMENTS)))
def test_scores_equal_brute_force(seed: int, agg: str, name: str) -> None:
    coupling, weights = synthetic(seed)
    got = group_scores(coupling, weights.__getitem__, name, agg=agg, norm="none")
    agrees(got, coupling, weights, ELEMENTS[name], agg)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("agg", AGGREGATIONS)
def test_scores_of_networks_equal_brute_force(network: str, agg: str) -> None:
    session, weights = analysed(network)
    got = session.importance("l1", agg=agg, norm="none")
    agrees(got, session.analysis.coupling, weights, np.abs, agg)


@pytest.mark.parametrize("agg", [agg for agg in AGGREGATIONS if agg != "prod"])
def test_scores_with_a_sign_equal_brute_force(agg: str) -> None:
    coupling, weights = synthetic()
    for shift in (0, -10):
        shifted = {name: w + np.float32(shift) for name, w in weights.items()}
        got = group_scores(coupling, shifted.__getitem__, signed, agg=agg, norm="none")
        agrees(got, coupling, shifted, lambda part: part, agg)


def test_no_product_of_scores_with_a_sign() -> None:
    coupling, weights = synthetic()
    with pytest.raises(InfeasibleTarget, match=r"below zero for 'conv.weight'.*agg="):
        group_scores(coupling, weights.__getitem__, signed, agg="prod")


def test_the_first_parameter_is_the_layer_that_makes_the_channels() -> None:
    session, weights = analysed("residual")
    got = session.importance("l1", agg="first", norm="none")
    group = next(g for g in session.groups if g.size == 6)
    assert group.members[0] == ("stem.weight", 0)
    assert got[group.id] == pytest.approx(np.abs(weights["stem.weight"]).mean(axis=(1, 2, 3)))


def test_a_coupled_channel_by_hand() -> None:
    session, w = analysed("residual")
    got = session.importance("l1", agg="sum", norm="none")
    group = next(g for g in session.groups if g.size == 6)
    vectors = ["stem.bias", "norm.weight", "norm.bias", "branch.bias", "norm2.weight", "norm2.bias"]
    for c in range(6):
        rows = [w["stem.weight"][c], w["branch.weight"][c], w["branch.weight"][:, c]]
        parts = [*rows, w["head.weight"][:, c], *(w[name][c] for name in vectors)]
        assert got[group.id][c] == pytest.approx(sum(float(np.abs(p).sum()) for p in parts))


@pytest.mark.parametrize("network", [*NETWORKS, "synthetic"])
def test_slices_equal_brute_force(network: str) -> None:
    if network == "synthetic":
        coupling, weights = synthetic()
    else:
        session, weights = analysed(network)
        coupling = session.analysis.coupling
    context = Context(coupling, weights.__getitem__)
    for group in coupling.groups:
        found = list(context.slices(group))
        assert [m for m in group.members if m[0] in weights and "mean" not in m[0]] == [
            (name, axis) for name, axis, _ in found
        ]
        for position, label in enumerate(group.labels):
            wanted = list(slices(coupling, weights, group, int(label)))
            for (name, part), (called, _, rows) in zip(wanted, found, strict=True):
                assert name == called
                assert np.array_equal(rows[position], part)
                assert not rows.flags.writeable
        one = [name for name, _, _ in context.slices(group, {found[0][0]})]
        assert set(one) == {found[0][0]}
        zeros = context.slices(group, read=lambda name: np.zeros_like(weights[name]))
        assert not any(rows.any() for _, _, rows in zeros)


def test_channels_of_unequal_numbers_of_indices_make_no_table() -> None:
    coupling, weights = synthetic()
    conv = coupling.graph.stored["conv.bias"]
    coupling.axes[conv, 0] = coupling.axes[conv, 0][[0, 0, 1, 2]]
    with pytest.raises(InfeasibleTarget, match=r"unequal numbers.*agg="):
        group_scores(coupling, weights.__getitem__, "l1", agg="median")
    assert group_scores(coupling, weights.__getitem__, "l1", agg="mean")["g1"].shape == (4,)


@given(
    st.lists(st.floats(-100, 100, width=16), min_size=1, max_size=9),
    st.sampled_from(NORMALISATIONS),
)
def test_normalisation_keeps_the_order(values: list[float], norm: str) -> None:
    raw = np.array(values)
    got = normalise(raw, norm)
    assert np.isfinite(got).all()
    assert (np.diff(got[np.argsort(raw, kind="stable")]) >= 0).all()
    if np.ptp(raw) > 1e-3:
        expected = {
            "none": (got.sum(), raw.sum()),
            "sum": (np.abs(got).sum(), 1),
            "mean": (np.abs(got).mean(), 1),
            "max": (np.abs(got).max(), 1),
            "minmax": (got.max() - got.min(), 1),
            "gaussian": (got.std() + got.mean(), 1),
        }
        assert expected[norm][0] == pytest.approx(expected[norm][1])
    if raw.min() >= 0 and raw.any() and norm in ("sum", "mean", "max"):
        assert np.array_equal(got, raw / getattr(raw, norm)())


@pytest.mark.parametrize("norm", NORMALISATIONS)
@pytest.mark.parametrize("agg", AGGREGATIONS)
def test_equal_and_zero_scores_stay_numbers(agg: str, norm: str) -> None:
    coupling, weights = synthetic()
    for fill in (0.0, 2.0):
        same = {name: np.full_like(w, fill) for name, w in weights.items()}
        got = group_scores(coupling, same.__getitem__, "l1", agg=agg, norm=norm)
        assert all(np.isfinite(s).all() and np.ptp(s) < 1e-9 for s in got.values())


@pytest.mark.parametrize("agg", AGGREGATIONS)
def test_scores_leave_the_model_alone(agg: str) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    before = [p.detach().clone() for p in model.parameters()]
    session = spa.analyze(model, (1, 3))

    def careless(context: Context, name: str, array: np.ndarray) -> np.ndarray:
        array *= array
        return array

    with pytest.raises(ValueError, match="read-only"):
        session.importance(careless)
    session.importance("l2", agg=agg)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize("agg", AGGREGATIONS)
def test_large_networks_are_scored_fast(agg: str) -> None:
    coupling = Coupling(Graph(), {}, 1025, np.arange(1025) == 0, {})
    labels = np.arange(1, 1025)
    names = [f"w{i}" for i in range(2)]
    coupling.groups = [Group("g1", "conv", labels, [(n, a) for n in names for a in (0, 1)])]
    weight = np.ones((1024, 1024, 3, 3), dtype=np.float32)
    for name in names:
        value = Value(name, weight.shape, "parameter")
        coupling.graph.stored[name] = value
        coupling.axes[value, 0] = coupling.axes[value, 1] = labels[:, None]
    start = time.process_time()
    group_scores(coupling, lambda name: weight, "l1", agg=agg)
    assert time.process_time() - start < 3
