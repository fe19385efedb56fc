"""Criteria that need weights only, against plain loops over channels."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from importance_networks import NETWORKS, Residual, analysed, slices, synthetic
from onnx_networks import convs
from torch import nn

import spa_kernel as spa
from spa_kernel.coupling.result import Group
from spa_kernel.importance import Context, find, fpgm, group_scores
from spa_kernel.importance import lamp as lamp_module

CONTEXT = Context(synthetic()[0], lambda name: np.zeros(1))


def lamp(array: np.ndarray) -> np.ndarray:
    return np.asarray(find("lamp").function(CONTEXT, "w", array))


def exact_lamp(array: np.ndarray) -> np.ndarray:
    """Each weight against all others, one by one."""
    flat = array.ravel().astype(np.float64)
    sums = [sum(v * v for v in flat if abs(v) >= abs(u)) for u in flat]
    return np.array([u * u / s if s else 0.0 for u, s in zip(flat, sums, strict=True)])


@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.sampled_from([np.float32, np.float64]),
)
def test_lamp_equals_brute_force(values: list[float], dtype: type) -> None:
    array = np.array(values, dtype=dtype)
    wanted = exact_lamp(array / (np.abs(array).max() or 1))
    assert lamp(array[:, None]) == pytest.approx(wanted[:, None], rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("how", ["normal", "uniform", "trained", "equal", "few values", "sparse"])
def test_lamp_of_large_tensors_is_almost_exact(how: str) -> None:
    rng = np.random.default_rng(0)
    shape = 300, 40, 3, 3
    array = {
        "normal": lambda: rng.normal(size=shape),
        "uniform": lambda: rng.uniform(-1, 1, shape),
        "trained": lambda: rng.standard_t(3, shape) * np.exp(rng.normal(size=(300, 1, 1, 1))),
        "equal": lambda: np.full(shape, -0.3),
        "few values": lambda: rng.integers(-3, 4, shape),
        "sparse": lambda: np.where(rng.random(shape) < 0.01, rng.normal(size=shape), 1e-30),
    }[how]().astype(np.float32)
    assert array.size > lamp_module.LARGE
    got = lamp(array)
    sizes = np.abs(array).ravel().astype(np.float64)
    at = np.unique(sizes, return_inverse=True)[1]
    mass = np.bincount(at, sizes**2)
    wanted = (sizes**2 / mass[::-1].cumsum()[::-1][at]).reshape(shape)
    np.testing.assert_allclose(got, wanted, rtol=1.01e-3, atol=1e-30)
    assert (got <= wanted * (1 + 1e-5) + 1e-30).all()
    order = np.argsort(sizes, kind="stable")
    assert (np.diff(got.ravel()[order]) >= 0).all()


def test_lamp_is_the_same_at_any_scale() -> None:
    array = np.random.default_rng(0).normal(size=(9, 8)).astype(np.float32)
    assert lamp(array * np.float32(1e-30)) == pytest.approx(lamp(array), rel=1e-4)
    assert not lamp(np.zeros((3, 2), np.float32)).any()
    assert lamp(np.zeros((0, 2), np.float32)).shape == (0, 2)


@pytest.mark.parametrize("network", NETWORKS)
def test_fpgm_equals_brute_force(network: str) -> None:
    session, weights = analysed(network)
    coupling = session.analysis.coupling
    got = session.importance("fpgm", norm="none")
    for group in session.groups:
        channels = [list(slices(coupling, weights, group, int(label))) for label in group.labels]
        counted = [p for p, (name, _) in enumerate(channels[0]) if weights[name].ndim > 1]
        wanted = [
            np.mean([
                sum(np.linalg.norm(own[p][1] - other[p][1]) for other in channels)
                for p in counted
            ])
            for own in channels
        ]  # fmt: skip
        assert got[group.id] == pytest.approx(wanted, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 40])
def test_fpgm_in_blocks(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = np.random.default_rng(0).normal(size=(size, 5))
    wanted = np.linalg.norm(rows[:, None] - rows, axis=2).sum(axis=1)
    monkeypatch.setattr(fpgm, "ROWS", 8)
    assert fpgm.distances(rows) == pytest.approx(wanted)


def test_fpgm_of_channels_that_are_alike() -> None:
    rows = np.random.default_rng(0).normal(size=(20, 300)).astype(np.float32)
    far = rows + np.float32(100)
    assert fpgm.distances(far) == pytest.approx(fpgm.distances(rows), rel=1e-4)
    assert fpgm.distances(np.ones_like(rows)) == pytest.approx(np.zeros(20))


def test_fpgm_says_nothing_of_vectors() -> None:
    coupling, weights = synthetic()
    group = Group("g9", "bias", coupling.groups[0].labels, [("conv.bias", 0), ("norm.mean", 0)])
    coupling.groups.append(group)
    assert list(group_scores(coupling, weights.__getitem__, "fpgm")) == ["g1", "g2"]


def test_bn_scale_is_the_mean_over_all_norms_of_the_channel() -> None:
    session, w = analysed("residual")
    got = session.importance("bn_scale", norm="none")
    group = next(g for g in session.groups if g.size == 6)
    wanted = (np.abs(w["norm.weight"]) + np.abs(w["norm2.weight"])) / 2
    assert list(got) == [group.id]
    assert got[group.id] == pytest.approx(wanted)


def test_bn_scale_of_several_indices_per_channel() -> None:
    session, w = analysed("flattened")
    got = session.importance("bn_scale", norm="none")
    group = next(g for g in session.groups if g.size == 5)
    wanted = np.abs(w["2.weight"]).reshape(5, 16).mean(axis=1)
    assert {name: pytest.approx(scores) for name, scores in got.items()} == {group.id: wanted}


def test_bn_scale_of_grouped_convolutions() -> None:
    session, w = analysed("grouped")
    got = session.importance("bn_scale", norm="none")
    coupling, scored = session.analysis.coupling, 0
    for group in session.groups:
        for position, label in enumerate(group.labels):
            parts = slices(coupling, w, group, int(label))
            scales = [part for name, part in parts if name in ("1.weight", "4.weight")]
            assert bool(scales) == (group.id in got)
            if scales:
                wanted = np.abs(np.concatenate(scales)).mean()
                assert got[group.id][position] == pytest.approx(wanted)
                scored += 1
    assert scored >= 12


def test_bn_scale_without_statistics_or_without_scale() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.n = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4, track_running_stats=False)
            self.b, self.m = nn.Conv2d(4, 5, 1), nn.BatchNorm2d(5, affine=False)
            self.c = nn.Conv2d(5, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = self.c(self.m(self.b(self.n(self.a(x)))))
            return out

    model = Two()
    nn.init.normal_(model.n.weight)
    session = spa.analyze(model, (2, 3, 4, 4))
    got = session.importance("bn_scale", norm="none")
    named = {group.id: group.name for group in session.groups}
    assert {named[id_]: pytest.approx(scores) for id_, scores in got.items()} == {
        "a": model.n.weight.detach().abs().numpy()
    }


def test_a_group_of_which_nothing_is_said_stays_whole() -> None:
    session, _ = analysed("grouped")
    scored = session.importance("bn_scale")
    plan = session.plan("bn_scale", ratio=0.25)
    for group in session.groups:
        before, after = plan.widths.get(group.id, (group.size, group.size))
        assert (before == after) or group.id in scored
    assert plan.kept


def test_weight_criteria_of_an_onnx_model() -> None:
    session = spa.analyze(convs())
    scale = session.backend.array("scale")
    got = session.importance("bn_scale", norm="none")
    group = next(g for g in session.groups if ("scale", 0) in g.members)
    assert got[group.id] == pytest.approx(np.abs(scale))
    for name in ("l1", "l2", "lamp", "fpgm", "random"):
        assert session.importance(name)[group.id].shape == (8,)


@pytest.mark.parametrize("name", ["l1", "l2", "lamp", "fpgm", "bn_scale", "random"])
def test_weight_criteria_prune_and_leave_weights_alone(name: str) -> None:
    model = Residual()
    session = spa.analyze(model, (1, 3, 8, 8))
    before = {n: t.clone() for n, t in model.state_dict().items()}
    scores = session.importance(name)
    assert all(np.isfinite(s).all() for s in scores.values())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert session.prune(criterion=name, ratio=0.5).verified
