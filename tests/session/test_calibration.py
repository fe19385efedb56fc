"""What scores and new weights are calibrated on, as a person asks for it."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from reference import differences, state
from torch import nn

import spa_kernel as spa
from spa_kernel.plan import Plan

SHAPE = (4, 6)
HALF: dict[str, Any] = {"ratio": 0.5, "scope": "local"}


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(
        nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 10), nn.ReLU(),
        nn.Linear(10, 3),
    ).eval()  # fmt: skip


@pytest.fixture
def session(model: nn.Module) -> spa.Session:
    return spa.analyze(model, SHAPE)


@pytest.fixture
def data() -> list[torch.Tensor]:
    return [torch.randn(16, 6) for _ in range(3)]


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def error(dense: nn.Module, model: nn.Module) -> float:
    x = torch.randn(200, 6)
    with torch.no_grad():
        return float((dense(x) - model(x)).square().mean() / dense(x).var())


@pytest.mark.parametrize(
    ("given", "wishes", "settings"),
    [
        (True, {"criterion": "obspa"}, ("data", True)),
        (True, {"criterion": "obspa", "calibration": "ood"}, ("ood", True)),
        (False, {"criterion": "obspa"}, ("none", True)),
        (False, {"criterion": "obspa", "calibration": "none"}, ("none", True)),
        (True, {"criterion": "obspa", "reconstruct": False}, ("data", False)),
        (True, {"criterion": "l1", "reconstruct": True}, ("data", True)),
        (False, {"reconstruct": True}, ("none", True)),
        (False, {"criterion": "l1"}, (None, None)),
        (True, {"criterion": "l1"}, (None, None)),
    ],
)
def test_what_a_plan_says_of_it(
    session: spa.Session, data: Any, given: bool, wishes: Any, settings: Any
) -> None:
    plan = session.plan(**HALF, **wishes, data=data if given else None)
    assert (plan.settings.get("calibration"), plan.settings.get("reconstruct")) == settings
    assert (plan.batches is not None) == bool(settings[1])


@pytest.mark.parametrize("wishes", [{"criterion": "obspa"}, {"reconstruct": True},
                                    {"criterion": "obspa", "calibration": "ood"}])  # fmt: skip
@pytest.mark.parametrize("given", [True, False])
def test_new_weights_are_better_than_the_old_ones(
    model: nn.Module, session: spa.Session, data: Any, wishes: dict[str, Any], given: bool
) -> None:
    if not given and "calibration" in wishes:
        wishes = {**wishes, "calibration": "none"}
    dense, plain = copy.deepcopy(model), copy.deepcopy(model)
    spa.analyze(plain, SHAPE).prune(**HALF)
    before = state(model)
    session.prune(**HALF, **wishes, data=data if given else None)
    assert error(dense, model) < error(dense, plain)
    session.undo()
    assert not differences(before, state(model))


def test_without_reconstruction_what_is_left_is_as_it_was(
    model: nn.Module, session: spa.Session, data: Any
) -> None:
    before = weights(model)
    plan = session.prune(**HALF, criterion="obspa", reconstruct=False, data=data).plan
    kept = {name: [plan.kept.get(name, {}).get(axis) for axis in range(tensor.ndim)]
            for name, tensor in before.items()}  # fmt: skip
    for name, tensor in before.items():
        for axis, indices in enumerate(kept[name]):
            if indices is not None:
                tensor = tensor.index_select(axis, torch.as_tensor(indices))
        assert torch.equal(model.state_dict()[name], tensor), name


def test_scores_change_nothing_and_are_the_same_every_time(
    model: nn.Module, session: spa.Session, data: Any
) -> None:
    before = state(model)
    one = session.importance("obspa", data=data)
    two = session.importance("obspa", data=data)
    none = session.importance("obspa")
    assert {g.id for g in session.groups if g.prunable} <= one.keys()
    assert all((one[g] == two[g]).all() and (one[g] >= 0).all() for g in one)
    assert any((one[g] != none[g]).any() for g in one)
    assert not differences(before, state(model))


def test_a_prune_by_a_plan_is_the_same_as_at_once(model: nn.Module, data: Any) -> None:
    copies = [copy.deepcopy(model) for _ in range(2)]
    one, two = (spa.analyze(each, SHAPE) for each in copies)
    plan = one.plan(**HALF, criterion="obspa", data=iter(data))
    one.prune(plan)
    two.prune(**HALF, criterion="obspa", data=iter(data))
    assert same(weights(copies[0]), weights(copies[1]))


def through_a_file(plan: Plan) -> Plan:
    return Plan.from_json(plan.to_json())


def test_a_plan_from_a_file_asks_for_data(model: nn.Module, data: Any) -> None:
    other = copy.deepcopy(model)
    session = spa.analyze(model, SHAPE)
    plan = session.plan(**HALF, criterion="obspa", data=data)
    read, before = through_a_file(plan), state(model)
    assert read.batches is None
    with pytest.raises(spa.DataNeeded, match=r"session.prune\(plan, data=batches\)"):
        session.prune(read)
    assert not differences(before, state(model))
    session.prune(read, data=data)
    spa.analyze(other, SHAPE).prune(plan)
    assert same(weights(model), weights(other))
    assert session.history.position == 1


def test_a_plan_from_a_file_that_needs_no_data(model: nn.Module, session: spa.Session) -> None:
    other = copy.deepcopy(model)
    plan = session.plan(**HALF, criterion="obspa", seed=3)
    session.prune(through_a_file(plan))
    spa.analyze(other, SHAPE).prune(plan)
    assert same(weights(model), weights(other))


def test_data_for_a_plan_without_reconstruction(session: spa.Session, data: Any) -> None:
    plan = session.plan(**HALF)
    with pytest.raises(spa.InfeasibleTarget, match="a plan holds its own settings"):
        session.prune(plan, data=data)


@pytest.mark.parametrize("calibration", ["data", "none"])
def test_in_several_steps(
    model: nn.Module, session: spa.Session, data: Any, calibration: str
) -> None:
    dense, before = copy.deepcopy(model), state(model)
    given = iter(data) if calibration == "data" else None
    report = session.prune(criterion="obspa", flops=1.8, steps=2, data=given,
                           calibration=calibration)  # fmt: skip
    assert report.rf >= 1.8
    assert session.history.position == 2
    plain = copy.deepcopy(dense)
    spa.analyze(plain, SHAPE).prune(criterion="l1", flops=1.8)
    assert error(dense, model) < error(dense, plain)
    session.undo(2)
    assert not differences(before, state(model))


def test_a_session_with_new_weights_is_saved(
    model: nn.Module, session: spa.Session, data: Any, tmp_path: Any
) -> None:
    fresh, before = copy.deepcopy(model), weights(model)
    session.prune(**HALF, criterion="obspa", data=data)
    after = weights(model)
    loaded = spa.load(session.save(tmp_path / "work.spa"), fresh)
    assert same(weights(fresh), after)
    loaded.undo()
    assert same(weights(fresh), before)


@pytest.mark.parametrize(
    ("wishes", "kind", "message"),
    [
        ({"criterion": "obspa", "calibration": "noise"}, spa.InfeasibleTarget,
         "calibration='noise' does not exist: use data, ood, none"),
        ({"criterion": "l1", "calibration": "none"}, spa.InfeasibleTarget,
         "no weights are reconstructed"),
        ({"criterion": "obspa", "calibration": "none", "data": [torch.randn(4, 6)]},
         spa.InfeasibleTarget, "leave data out"),
        ({"criterion": "obspa", "calibration": "data"}, spa.DataNeeded, "needs data: give data="),
        ({"reconstruct": True, "calibration": "ood"}, spa.DataNeeded, "calibration='ood' needs"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["plan", "prune"])
def test_mistakes(
    model: nn.Module, session: spa.Session, wishes: Any, kind: Any, message: str, command: str
) -> None:
    before = state(model)
    with pytest.raises(kind) as caught:
        getattr(session, command)(**HALF, **wishes)
    assert message in str(caught.value)
    assert not differences(before, state(model))
