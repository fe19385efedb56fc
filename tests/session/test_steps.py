"""One target in several prunes: it is reached, every step counts, and all of it can be undone."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from reference import differences, state
from torch import nn

import spa_kernel as spa
from spa_kernel.progress import listening

SHAPE = (2, 3, 8, 8)
INPUT = torch.randn(SHAPE, generator=torch.Generator().manual_seed(0))
BATCH = INPUT, torch.arange(2)


class Net(nn.Module):
    """A stem with a shortcut around two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 48, 3, padding=1)
        self.norm = nn.BatchNorm2d(48)
        self.a = nn.Conv2d(48, 64, 3, padding=1)
        self.b = nn.Conv2d(64, 48, 3, padding=1)
        self.c = nn.Conv2d(48, 56, 1)
        self.head = nn.Linear(56, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.b(torch.relu(self.a(x))))
        result: torch.Tensor = self.head(torch.relu(self.c(x)).mean((2, 3)))
        return result


@pytest.fixture
def model() -> nn.Module:
    return Net()


@pytest.fixture
def session(model: nn.Module) -> spa.Session:
    return spa.analyze(model, SHAPE, name="net")


def widths(session: spa.Session) -> dict[str, int]:
    return {group.name: group.size for group in session.groups if group.prunable}


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def train(session: spa.Session) -> None:
    spa.finetune(session, [BATCH], nn.functional.cross_entropy, lr=0.01)


@pytest.mark.parametrize("target", ["flops", "params", "memory"])
@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_factor_is_reached_and_not_overshot(
    target: str, scope: Any, session: spa.Session
) -> None:
    wishes: dict[str, Any] = {target: 2.0 if target == "memory" else 4.0, "scope": scope}
    before = state(session.model)
    report = session.prune(**wishes, steps=4)
    start, end = (getattr(report.steps[i].plan, target)[i] for i in (0, -1))
    assert start / end >= wishes[target]
    # One channel of the widest layer is 1 % of the memory.
    assert start / end <= (1.03 if target == "memory" else 1.01) * wishes[target]
    if target != "memory":
        assert {"flops": report.rf, "params": report.rp}[target] == start / end
    session.undo(4)
    assert not differences(before, state(session.model))


@pytest.mark.parametrize("scope", ["global", "local", "isomorphic", {"one": ["stem", "c"]}])
def test_a_ratio_counts_from_the_start(scope: Any, session: spa.Session) -> None:
    plan = session.plan(ratio=0.47, scope=scope)
    report = session.prune(ratio=0.47, scope=scope, steps=3)
    lost = sum(b - a for step in report.steps for b, a in step.plan.widths.values())
    assert lost == sum(b - a for b, a in plan.widths.values())
    if scope == "local":
        after = {group.name: plan.widths[group.id][1] for group in session.groups}
        assert widths(session) == {name: after[name] for name in widths(session)}


def test_ratios_by_group(session: spa.Session) -> None:
    session.prune(ratio={"stem": 0.5, "a": 0.25}, steps=3)
    assert widths(session) == {"stem": 24, "a": 48, "c": 56}


def test_limits_hold_over_all_steps(session: spa.Session) -> None:
    start = widths(session)
    session.prune(
        ratio=0.45, steps=4, max_ratio={"c": 0.3, "*": 0.6}, min_width=20, criterion="random"
    )
    for name, width in widths(session).items():
        assert width >= max(20, start[name] * (1 - (0.3 if name == "c" else 0.6)) - 1e-9)
    assert sum(widths(session).values()) == sum(start.values()) - int(0.45 * sum(start.values()))


def test_what_cannot_be_reached_is_refused_before_the_first_step(session: spa.Session) -> None:
    called: list[Any] = []
    with pytest.raises(spa.InfeasibleTarget, match="max_ratio"):
        session.prune(flops=4, steps=4, max_ratio=0.2, between=called.append)
    assert not called
    assert len(session.history) == 1


def test_scores_are_worked_out_anew(session: spa.Session) -> None:
    seen: list[tuple[int, ...]] = []

    def own(context: Any, name: str, array: np.ndarray) -> np.ndarray:
        if name == "a.weight":
            seen.append(array.shape)
        return abs(array)

    between: list[int] = []
    report = session.prune(
        criterion=own, ratio=0.5, scope="local", steps=3,
        between=lambda s: between.append(s.history.position),
    )  # fmt: skip
    assert len(set(seen)) == 3
    assert between == [1, 2]
    assert [step.step for step in report.steps] == [1, 2, 3]


def test_batches_that_come_only_once_serve_all_steps(session: spa.Session) -> None:
    report = session.prune(
        criterion="taylor", data=iter([BATCH]), loss=nn.functional.cross_entropy, flops=2, steps=3
    )
    assert report.rf >= 2


def test_training_in_between_and_back(session: spa.Session) -> None:
    model = session.model
    optimizer = torch.optim.Adam(model.parameters(), 0.01)

    def step(session: spa.Session) -> None:
        model.train()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(BATCH[0]), BATCH[1]).backward()
        optimizer.step()

    step(session)
    before, memory = state(model), copy.deepcopy(optimizer.state_dict())
    session.prune(flops=3, steps=4, optimizer=optimizer, between=step)
    after = state(model)
    session.undo(4)
    assert not differences(before, state(model))
    for number, entries in memory["state"].items():
        now = optimizer.state_dict()["state"][number]
        assert all(torch.equal(now[key], entry) for key, entry in entries.items())
    session.redo(4)
    assert not differences(after, state(model))


class Broken:
    """Fails, or is interrupted, when it is called for the n-th time."""

    def __init__(self, number: int, kind: type[BaseException]) -> None:
        self.left, self.kind = number, kind

    def count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise self.kind("injected")

    def criterion(self, context: Any, group: Any) -> np.ndarray:
        if group.id == "g1":
            self.count()
        return np.arange(group.size)

    def between(self, session: spa.Session) -> None:
        train(session)
        session.model.eval().requires_grad_(True)
        self.count()


@pytest.mark.parametrize(
    ("where", "number", "kind"),
    [
        ("criterion", 1, ValueError),
        ("criterion", 3, KeyboardInterrupt),
        ("between", 1, KeyboardInterrupt),
        ("between", 2, ValueError),
        ("between", 2, spa.VerificationFailed),
    ],
)
def test_a_failure_takes_all_steps_back(
    where: str, number: int, kind: type[BaseException], session: spa.Session
) -> None:
    model = session.model
    session.prune(ratio=0.1)
    session.prune(ratio=0.1)
    session.undo()
    model.train()
    sum(p.square().sum() for p in model.parameters()).backward()
    model.head.bias.requires_grad_(False)
    before, known = state(model), list(session.history)
    grads = {name: p.grad.clone() for name, p in model.named_parameters()}
    broken = Broken(number, kind)
    chosen = spa.importance.registry.wrap(broken.criterion, "own", per="channel")
    wishes = {"criterion": chosen} if where == "criterion" else {}
    with pytest.raises(kind, match="injected"):
        session.prune(
            flops=3, steps=4, **wishes,
            between=broken.between if where == "between" else train,
        )  # fmt: skip
    assert not differences(before, state(model))
    assert model.training and not model.head.bias.requires_grad
    assert all(torch.equal(p.grad, grads[name]) for name, p in model.named_parameters())
    # What had been undone before can still be done again.
    assert list(session.history) == known
    session.redo()
    assert session.prune(flops=1.5).verified


def test_a_new_model_in_between_is_found_out(session: spa.Session) -> None:
    def meddle(session: spa.Session) -> None:
        session.model.head = nn.Linear(56, 3)

    with pytest.raises(spa.StaleSession, match="head"):
        session.prune(flops=3, steps=3, between=meddle)


def test_a_session_with_steps_is_saved_and_loaded(session: spa.Session, tmp_path: Any) -> None:
    session.prune(flops=3, steps=3, between=train)
    other = Net()
    loaded = spa.load(session.save(tmp_path / "work.spa"), other)
    assert same(session.model, other)
    assert [step.label for step in loaded.history] == [step.label for step in session.history]
    loaded.undo(3)
    session.undo(3)
    assert same(session.model, other)


def test_an_onnx_model(session: spa.Session, tmp_path: Any) -> None:
    session.export(tmp_path / "net.onnx")
    model = onnx.load(tmp_path / "net.onnx")
    before = model.SerializeToString(deterministic=True)
    other = spa.analyze(model)
    report = other.prune(flops=2.5, steps=3)
    assert 2.5 <= report.rf < 2.6
    other.undo(3)
    assert model.SerializeToString(deterministic=True) == before


def test_what_is_shown(session: spa.Session) -> None:
    report = session.prune(flops=3, steps=4)
    shown = report._repr_mimebundle_()
    for text in ("4 steps", f"÷ {int(report.rf * 100) / 100:.2f}", "Verified"):
        assert text in shown["text/plain"]
        assert text.split()[-1] in shown["text/html"]
    assert max(map(len, shown["text/plain"].splitlines())) <= 80
    assert [step.label.rpartition("(")[2] for step in session.history][1:] == [
        f"l1, step {n} of 4 to flops 3)" for n in (1, 2, 3, 4)
    ]


def test_groups_are_found_again_when_they_get_down_to_one_channel() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 20, 3), nn.ReLU(), nn.Conv2d(20, 4, 3)
    )
    session = spa.analyze(model, SHAPE)
    session.prune(ratio=0.75, scope="local", steps=6)
    # What is down to one channel is not prunable any more.
    assert widths(session) == {"2": 5}
    assert model[0].out_channels == 1


def test_progress(session: spa.Session) -> None:
    heard: list[str] = []
    with listening(lambda phase, done, total: heard.append(phase)):
        session.prune(flops=2, steps=3, between=train)
    assert heard.count("applying") == 3
    assert sum(phase.startswith("training") for phase in heard) == 2


REFUSED: dict[str, tuple[Callable[[spa.Session], Any], str]] = {
    "no steps": (lambda s: s.prune(ratio=0.5, steps=0), "steps=0: use a whole number"),
    "half a step": (lambda s: s.prune(ratio=0.5, steps=1.5), "steps=1.5: use a whole number"),
    "no target": (lambda s: s.prune(steps=2), "exactly one"),
    "two targets": (lambda s: s.prune(flops=2, ratio=0.5, steps=2), "exactly one"),
    "no function": (lambda s: s.prune(ratio=0.5, steps=2, between=3), "between=3"),
    "a plan": (lambda s: s.prune(s.plan(ratio=0.5), steps=2), "not both"),
    "unknown criterion": (lambda s: s.prune(ratio=0.5, steps=2, criterion="l3"), "l3"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, session: spa.Session) -> None:
    action, message = REFUSED[case]
    before = state(session.model)
    with pytest.raises(spa.InfeasibleTarget, match=message):
        action(session)
    assert not differences(before, state(session.model))
    assert len(session.history) == 1
