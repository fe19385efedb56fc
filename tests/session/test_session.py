"""The session: history, explanations, reports, and what it says when it cannot."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from reference import counted_flops, counted_params, differences, error, state
from torch import nn

import spa_kernel as spa

SHAPE = (2, 3, 8, 8)
HALF: dict[str, Any] = {"ratio": 0.5, "scope": "local"}


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = nn.Sequential(
            nn.Conv2d(8, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 8, 1)
        )
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        x = x + self.block(x)
        result: torch.Tensor = self.head(x.mean((2, 3)))
        return result


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def session(model: nn.Module) -> spa.Session:
    return spa.analyze(model, SHAPE, name="net")


# What a session knows.


def test_what_a_session_is(model: nn.Module, session: spa.Session) -> None:
    assert session.model is model
    assert (session.name, session.framework) == ("net", "torch")
    assert spa.analyze(model, SHAPE).name == "Net"
    assert session.cost == (counted_flops(model, torch.randn(SHAPE)), counted_params(model))
    sizes = {g.name: g.size for g in session.groups if g.prunable}
    assert sizes == {"stem": 8, "block.0": 12}
    for text in ("net", "torch", "2 prunable groups"):
        assert text in repr(session)


def test_frozen_says_why_and_what_it_costs(session: spa.Session) -> None:
    frozen = {f.name: f for f in session.frozen}
    assert "output of the network" in frozen["head"].reason
    # Four classes, each with a row of eight weights and a bias.
    assert (frozen["head"].size, frozen["head"].params) == (4, 36)
    held = [f.params for f in session.frozen]
    assert held == sorted(held, reverse=True)


@pytest.mark.parametrize("criterion", ["l1", "l2", "random"])
def test_one_score_per_channel(session: spa.Session, criterion: str) -> None:
    scores = session.importance(criterion)
    assert {k: len(v) for k, v in scores.items()} == {
        g.id: g.size for g in session.groups if g.id in scores
    }
    assert {g.id for g in session.groups if g.prunable} <= set(scores)
    assert all(v.dtype == np.float64 and np.isfinite(v).all() for v in scores.values())


def test_planning_changes_nothing(model: nn.Module, session: spa.Session) -> None:
    before = state(model)
    one, two = session.plan(**HALF), session.plan(**HALF)
    assert one == two
    assert one is not two
    assert not differences(before, state(model))
    assert len(session.history) == 1


def test_every_layer_can_be_explained(model: nn.Module, session: spa.Session) -> None:
    names = [n for n, m in model.named_modules() if n and list(m.parameters())]
    names += [n for n, _ in (*model.named_parameters(), *model.named_buffers())]
    for name in names:
        explanation = session.explain(name)
        assert explanation.layer == name
        has_axes = any((v.name == name or v.name.startswith(name + ".")) and v.ndim
                       for v in session.analysis.graph.stored.values())  # fmt: skip
        assert bool(explanation.parts) == has_axes, name
        ids = {g.id for g in session.groups}
        for axis, group, sentence, joints in explanation.parts:
            assert name.split(".")[0] in axis
            assert group is None or group in ids
            assert sentence
            assert group is not None or "cannot go" in sentence
            assert isinstance(joints, list)


def test_explanations_name_partners_and_joints(session: spa.Session) -> None:
    (axis, group, sentence, joints), *_ = session.explain("stem.weight").parts
    assert "axis 0 of [8, 3, 3, 3]" in axis
    assert group == next(g.id for g in session.groups if g.name == "stem")
    for partner in ("stem.bias[0]", "block.0.weight[1]", "block.3.weight[0]"):
        assert partner in sentence
    assert any("Add" in joint and "test_session.py:" in joint for joint in joints)
    (_, group, sentence, _), *_ = session.explain("head.bias").parts
    assert group is None
    assert "4 channels cannot go: it is an output of the network" in sentence


# What a prune reports.


def test_report(model: nn.Module, session: spa.Session) -> None:
    flops, params = session.cost
    original = copy.deepcopy(model)
    report = session.prune(**HALF)
    assert report.verified is True
    assert report.verification.error is not None
    assert report.verification.error < 1e-6
    assert report.rf == flops / counted_flops(model, torch.randn(SHAPE))
    assert report.rp == params / counted_params(model)
    assert (report.step, report.notes) == (1, [])
    assert report.seconds > 0
    assert f"RF {report.rf:.2f}" in repr(report)
    assert error(original, report.plan.kept, model, torch.randn(SHAPE)) < 1e-6
    assert session.cost == (report.plan.flops[1], report.plan.params[1])


def test_without_verification(session: spa.Session) -> None:
    report = session.prune(verify=False, **HALF)
    assert report.verification.error is None


# History.


def test_history_counts_and_marks_the_present(session: spa.Session) -> None:
    start = session.cost
    assert [(s.index, s.label, s.current) for s in session.history] == [(0, "start", True)]
    session.prune(ratio=0.25, scope="local")
    session.prune(ratio=0.25, scope="local")
    history = session.history
    assert [s.current for s in history] == [False, False, True]
    assert history.position == 2
    assert history[1].plan is not None
    assert (history[0].flops, history[0].params) == start
    assert history[0].flops > history[1].flops > history[2].flops
    assert "l1" in history[1].label
    assert "0.25" in history[1].label
    session.undo(2)
    assert (history.position, history.undone) == (0, 2)
    assert session.cost == start
    session.redo()
    assert history.position == 1
    assert session.cost == (history[1].flops, history[1].params)
    session.redo()
    session.reset()
    assert history.position == 0
    session.reset()
    assert session.cost == start


def test_a_new_step_drops_what_was_undone(model: nn.Module, session: spa.Session) -> None:
    session.prune(ratio=0.5, scope="local")
    session.prune(ratio=0.5, scope="local")
    held = session.history.nbytes
    session.undo(2)
    report = session.prune(ratio=0.25, scope="local")
    assert len(session.history) == 2
    assert report.step == 1
    assert any("2 undone steps" in note for note in report.notes)
    assert session.history.nbytes < held
    with pytest.raises(spa.InfeasibleTarget, match="nothing to redo"):
        session.redo()
    session.undo()
    assert counted_params(model) == counted_params(Net())


def test_groups_follow_the_model(session: spa.Session) -> None:
    before = [(g.id, g.size) for g in session.groups]
    session.prune(**HALF)
    assert {g.name: g.size for g in session.groups if g.prunable} == {"stem": 4, "block.0": 6}
    session.undo()
    assert [(g.id, g.size) for g in session.groups] == before


# Plans travel.


def test_a_plan_goes_to_another_copy_as_text(model: nn.Module, session: spa.Session) -> None:
    twin = copy.deepcopy(model)
    plan = session.plan(flops=1.7)
    text = plan.to_json()
    session.prune(plan)
    other = spa.analyze(twin, SHAPE)
    again = spa.Plan.from_json(text)
    assert again == plan
    other.prune(again)
    for a, b in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_plan_does_not_fit_another_network(session: spa.Session) -> None:
    plan = session.plan(**HALF)
    wide = nn.Sequential(nn.Conv2d(3, 9, 3), nn.Conv2d(9, 4, 1))
    before = state(wide)
    with pytest.raises(spa.InfeasibleTarget, match="does not belong to this model"):
        spa.analyze(wide, SHAPE).prune(plan)
    assert not differences(before, state(wide))


def test_a_plan_fits_once(model: nn.Module, session: spa.Session) -> None:
    plan = session.plan(**HALF)
    session.prune(plan)
    before = state(model)
    with pytest.raises(spa.InfeasibleTarget, match="does not belong to this model"):
        session.prune(plan)
    assert not differences(before, state(model))
    session.undo()
    assert session.prune(plan).verified


# What cannot be: one clear message, and the model stays.

BAD: dict[str, tuple[Callable[[spa.Session], Any], type[Exception], str]] = {
    "ratio of 1.5": (lambda s: s.prune(ratio=1.5), spa.InfeasibleTarget, r"ratio.*1\.5"),
    "negative ratio": (lambda s: s.prune(ratio=-0.1), spa.InfeasibleTarget, r"ratio.*-0\.1"),
    "ratio of all": (lambda s: s.prune(ratio=1.0), spa.InfeasibleTarget, r"ratio.*1\.0"),
    "ratio in words": (lambda s: s.prune(ratio="half"), spa.InfeasibleTarget, r"ratio.*half"),
    "ratio not a number": (lambda s: s.prune(ratio=float("nan")), spa.InfeasibleTarget, "nan"),
    "fewer flops than one": (lambda s: s.prune(flops=0.5), spa.InfeasibleTarget, r"flops.*0\.5"),
    "too many flops": (lambda s: s.prune(flops=1e6), spa.InfeasibleTarget, r"flops|FLOPs"),
    "too many params": (lambda s: s.prune(params=1e6), spa.InfeasibleTarget, r"param"),
    "no target": (lambda s: s.prune(), spa.InfeasibleTarget, r"ratio.*flops.*params"),
    "two targets": (
        lambda s: s.prune(ratio=0.5, flops=2.0), spa.InfeasibleTarget, r"ratio.*flops"
    ),
    "unknown criterion": (
        lambda s: s.prune(criterion="l11", ratio=0.5), spa.InfeasibleTarget, r"(?s)l11.*l1"
    ),
    "unknown group": (
        lambda s: s.prune(groups="g99", ratio=0.5), spa.InfeasibleTarget, r"g99"
    ),
    "unknown exclusion": (
        lambda s: s.prune(exclude=["stam"], ratio=0.5), spa.InfeasibleTarget, r"stam"
    ),
    "all excluded": (lambda s: s.prune(exclude="*", ratio=0.5), spa.InfeasibleTarget, r"exclude"),
    "frozen group": (
        lambda s: s.prune(groups="head", ratio=0.5, scope="local"), spa.InfeasibleTarget, r"head"
    ),
    "unknown scope": (lambda s: s.prune(ratio=0.5, scope="all"), spa.InfeasibleTarget, r"all.*"),
    "unknown aggregate": (
        lambda s: s.prune(ratio=0.5, agg="middle"), spa.InfeasibleTarget, r"middle.*"
    ),
    "unknown layer": (lambda s: s.explain("stam"), spa.InfeasibleTarget, r"stam.*mean stem"),
    "no layer": (lambda s: s.explain(""), spa.InfeasibleTarget, r"no layer"),
    "rounding to zero": (
        lambda s: s.prune(ratio=0.5, round_to=0), spa.InfeasibleTarget, r"round_to.*0"
    ),
    "plan and wishes": (
        lambda s: s.prune(s.plan(ratio=0.5), ratio=0.5), spa.InfeasibleTarget, r"ratio.*not both"
    ),
    "not a plan": (lambda s: s.prune({"g1": [0]}), spa.InfeasibleTarget, r"dict.*session\.plan"),
    "a criterion as a plan": (
        lambda s: s.prune("l2", flops=2), spa.InfeasibleTarget, r"not str.*criterion="
    ),
    "nothing to undo": (lambda s: s.undo(), spa.InfeasibleTarget, r"nothing to undo"),
    "nothing to redo": (lambda s: s.redo(), spa.InfeasibleTarget, r"nothing to redo"),
    "undo zero": (lambda s: s.undo(0), spa.InfeasibleTarget, r"0.*whole number"),
    "undo a half": (lambda s: s.undo(0.5), spa.InfeasibleTarget, r"0\.5.*whole number"),
    "not a plan text": (lambda s: spa.Plan.from_json("{]"), spa.InfeasibleTarget, r"plan"),
    "unknown wish": (lambda s: s.prune(ratoi=0.5), TypeError, r"ratoi"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_requests(case: str, model: nn.Module, session: spa.Session) -> None:
    action, kind, message = BAD[case]
    before = state(model)
    with pytest.raises(kind, match=message):
        action(session)
    assert not differences(before, state(model))
    assert len(session.history) == 1
    assert session.prune(**HALF).verified


def test_no_channels_left_to_remove() -> None:
    """One channel everywhere: what is left is the smallest network that there is."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU(), nn.Conv2d(2, 4, 1))
    session = spa.analyze(model, SHAPE)
    session.prune(ratio=0.5, scope="local")
    assert model[0].weight.shape[0] == 1
    before = state(model)
    with pytest.raises(spa.InfeasibleTarget, match="nothing can be pruned"):
        session.prune(ratio=0.5, scope="local")
    assert not differences(before, state(model))


def test_all_groups_frozen_names_the_reasons() -> None:
    session = spa.analyze(nn.Sequential(nn.Linear(3, 4)), (2, 3))
    with pytest.raises(spa.InfeasibleTarget, match="output of the network"):
        session.prune(ratio=0.5)


def test_errors_have_one_root() -> None:
    for kind in (
        spa.CaptureError, spa.UnsupportedOperator, spa.InfeasibleTarget, spa.StaleSession,
        spa.DataNeeded, spa.VerificationFailed,
    ):  # fmt: skip
        assert issubclass(kind, spa.SpaError)


def test_export_can_be_run(model: nn.Module, session: spa.Session, tmp_path: Any) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    session.prune(**HALF)
    model.train()
    path = session.export(tmp_path / "small.onnx")
    assert model.training
    model.eval()
    x = torch.randn(SHAPE)
    run = onnxruntime.InferenceSession(str(path))
    (got,) = run.run(None, {run.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(got), model(x), rtol=1e-4, atol=1e-5)
