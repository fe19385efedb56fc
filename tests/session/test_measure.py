"""Latency targets and `spa.measure`, on a clock that widths alone decide."""

from __future__ import annotations

import copy
import json

import numpy as np
import onnx
import pytest
import torch
from onnx_networks import build
from reference import differences, state
from torch import nn

import spa_kernel as spa
from spa_kernel import progress
from spa_kernel.frontends.onnx.timing import OnnxTimed
from spa_kernel.frontends.torch.timing import Done, TorchTimed
from spa_kernel.session.timed import FEWEST, compare
from spa_kernel.views import render_text

WORK = 1e-6


def network() -> nn.Module:
    torch.manual_seed(0)
    stem = [nn.Conv2d(3, 128, 1), nn.BatchNorm2d(128), nn.ReLU()]
    return nn.Sequential(
        *stem, nn.Conv2d(128, 192, 1), nn.ReLU(), nn.Conv2d(192, 160, 1), nn.Conv2d(160, 4, 1)
    )


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def clock(model: nn.Module, noise: float = 0.0) -> float:
    """Seconds that a forward is said to take: not in proportion to the work, and some besides."""
    shapes = [m.weight.shape[:2] for m in model.modules() if isinstance(m, nn.Conv2d)]
    work = sum(rows**0.9 * (columns + 8) for rows, columns in shapes)
    return WORK * (200 + work) * (1 + noise * np.random.standard_normal())


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> dict[str, float]:
    """No clock is looked at; the settings may be changed by a test."""
    settings = {"noise": 0.0}

    def seconds(self: TorchTimed) -> float:
        return clock(self.model, settings["noise"])

    def calls(self: TorchTimed) -> list[Done]:
        """One call for each convolution, with the name that the recording has."""
        with torch.no_grad():
            x, found = self.inputs[0][0], []
            for module in self.model:
                x = module(x)
                if isinstance(module, nn.Conv2d):
                    one = clock(nn.Sequential(module)) - 200 * WORK
                    found.append(Done("convolution", (tuple(x.shape),), one))
        return found

    monkeypatch.setattr(TorchTimed, "seconds", seconds)
    monkeypatch.setattr(TorchTimed, "calls", calls)
    return settings


@pytest.fixture
def session() -> spa.Session:
    return spa.analyze(network(), (1, 3, 4, 4), name="net")


@pytest.mark.parametrize("target", [1.25, 1.5, 2.0, 3.0])
@pytest.mark.parametrize("scope", ["global", "local"])
def test_a_latency_is_reached_and_not_overshot(session, timed, target, scope):
    base, before = clock(session.model), state(session.model)
    plan = session.plan(latency=target, scope=scope)
    assert not differences(before, state(session.model))
    report = session.prune(plan)
    reached = base / clock(session.model)
    assert target <= reached <= 1.01 * target
    assert plan.latency == pytest.approx((base, clock(session.model)))
    assert report.verified
    assert plan.settings["latency"] == target and plan.settings["ratio"] is None
    for shown in (render_text(plan), str(report)):
        assert f"latency ÷ {target:g}" in shown and "Latency " in shown


def test_noise_is_told(session, timed):
    timed["noise"] = 0.05
    plan = session.plan(latency=1.5)
    assert 0 < plan.settings["latency_spread"] < 0.05
    session.prune(plan)
    timed["noise"] = 0.0
    assert clock(network()) / clock(session.model) == pytest.approx(1.5, rel=0.05)


def test_too_much_noise_is_a_refusal(session, timed, monkeypatch):
    monkeypatch.setattr("spa_kernel.session.timed.PATIENCE", 0.0)
    timed["noise"] = 0.25
    with pytest.raises(spa.InfeasibleTarget, match="can only be told to ±"):
        session.plan(latency=1.3)


def test_limits_are_kept(session, timed):
    plan = session.plan(latency=1.5, round_to=8, exclude="0", max_ratio=0.75)
    widths = [plan.widths[g.id] for g in session.groups if g.prunable]
    assert widths[0][0] == widths[0][1]
    assert all(after % 8 == 0 and after >= before / 4 for before, after in widths)


def test_as_text(session, timed):
    plan = session.plan(latency=1.5)
    again = spa.Plan.from_json(plan.to_json())
    assert again == plan and again.latency == plan.latency
    for bad in ([1.0], [1.0, -1.0], [1.0, "x"], [True, 1.0], 3):
        document = json.loads(plan.to_json()) | {"latency": bad}
        with pytest.raises(spa.InfeasibleTarget, match="latency must be"):
            spa.Plan.from_json(json.dumps(document))
    assert session.plan(ratio=0.5).latency is None


def test_nothing_goes_for_a_factor_of_one(session, timed):
    plan = session.plan(latency=1)
    assert not plan.removed
    assert plan.latency[0] == pytest.approx(plan.latency[1])


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"latency": 50}, r"latency=50 cannot be reached.* measured to be \d+\.\d+ times faster"),
        ({"latency": 50}, r"max_ratio=0\.9"),
        ({"latency": 0.5}, "how many times smaller"),
        ({"latency": "fast"}, "not a number"),
        ({"latency": 1.5, "flops": 2}, "exactly one"),
        ({"latency": 1.5, "round_to": 8, "rounding": "up"}, "stop short"),
        ({"latency": 1.5, "exclude": "*"}, "nothing can be pruned"),
    ],
)
def test_refusals(session, timed, wish, said):
    before = state(session.model)
    with pytest.raises(spa.InfeasibleTarget, match=said):
        session.plan(**wish)
    assert not differences(before, state(session.model))


def test_an_interrupt_leaves_the_model_alone(session, timed):
    before, seen = state(session.model), []

    def interrupt(phase: str, done: int, total: int | None) -> None:
        if phase == "timing":
            seen.append((done, total))
            if done == 5:
                raise KeyboardInterrupt

    with progress.listening(interrupt), pytest.raises(KeyboardInterrupt):
        session.prune(latency=1.5)
    assert [done for done, _ in seen] == list(range(6))
    assert all(total > 5 for _, total in seen)
    assert not differences(before, state(session.model))
    assert len(session.history) == 1


class Said:
    """Takes as long as it is told."""

    def __init__(self, *seconds: float) -> None:
        self.told, self.runs = seconds, 0

    def seconds(self) -> float:
        self.runs += 1
        return self.told[self.runs % len(self.told)]


def test_what_slows_both_does_not_count():
    """One run of five is disturbed, the machine changes its pace: the factor stays."""
    fast, slow = Said(0.01, 0.02, 0.01, 0.02), Said(0.02, 0.04, 0.02, 0.04)
    found = compare(slow, fast)
    assert found.factor == pytest.approx(2.0) and found.runs == FEWEST
    assert found.before / found.after == pytest.approx(2.0)
    found = compare(Said(*[0.02] * 6, 0.3), Said(0.01))
    assert found.factor == pytest.approx(2.0)


def test_noise_is_given_up_on_after_a_while():
    found = compare(Said(1.0, 1.5, 2.0), Said(1.0, 1.1, 1.7, 0.9), patience=60.0)
    assert found.spread > 0.002
    assert FEWEST <= found.runs <= 60


# The real clock: that it can be read, not what it says.


def test_real_calls_are_matched_with_operators(session):
    original = session.backend.timed()
    graph = session.analysis.graph
    parts = original.parts(graph)
    assert {n for part in parts for n in part} == set(graph.nodes)
    coupling = session.analysis.coupling
    removed = session.plan(ratio=0.5).mask(coupling)
    for pruned in (original, session.backend.timed(coupling, removed)):
        taken = original.split(pruned)
        assert taken.shape == (len(parts),) and (taken >= 0).all()
        assert pruned.seconds() >= 0


def test_copies_are_the_pruned_model(session):
    """Same shapes and outputs as the model itself once it is pruned; random states are kept."""
    x = torch.randn(1, 3, 4, 4)
    plan, before = session.plan(ratio=0.5), torch.get_rng_state()
    copied = session.backend.timed(session.analysis.coupling, plan.mask(session.analysis.coupling))
    copied.seconds()
    assert torch.equal(torch.get_rng_state(), before)
    session.prune(plan)
    assert session.model.training and not copied.model.training
    assert torch.equal(session.model.eval()(x), copied.model(x))


def test_measure(session, timed, monkeypatch):
    start = copy.deepcopy(session.model)
    session.prune(ratio=0.5)
    session.prune(ratio=0.3)
    session.undo()
    with torch.no_grad():
        session.model[0].weight += 1
    before = state(session.model)
    monkeypatch.setattr(OnnxTimed, "seconds", lambda self: 1.0)
    found = spa.measure(session)
    assert not differences(before, state(session.model))
    assert session.history.position == 1 and len(session.history) == 3
    torch_found = found.latency["torch"]
    expected = clock(start), clock(session.model)
    assert (torch_found.before, torch_found.after) == pytest.approx(expected)
    assert found.latency["onnxruntime"].factor == 1.0
    assert 4 * parameters(start) < found.size[0] < 4 * parameters(start) + 20_000
    assert found.size[1] < found.size[0]
    memory = [s.analysis.cost.measure("memory").base for s in session.history]
    assert found.memory == (memory[0], memory[1])
    text = str(found)
    for word in ("net", "Latency, torch", "Latency, onnxruntime", "Size on disk", "Peak"):
        assert word in text


def test_measure_is_undisturbed_by_an_interrupt(session, timed, monkeypatch):
    session.prune(ratio=0.5)
    before = state(session.model)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(session.backend), "export", interrupt)
    with pytest.raises(KeyboardInterrupt):
        spa.measure(session)
    assert not differences(before, state(session.model))
    assert session.history.position == 1


def test_measure_says_what_could_not_be(session, timed, monkeypatch):
    def refuse(*_: object) -> None:
        raise spa.SpaError("torch.onnx could not export it\nand so on")

    monkeypatch.setattr(type(session.backend), "export", refuse)
    found = spa.measure(session)
    assert list(found.latency) == ["torch"] and found.latency["torch"].factor == 1.0
    assert found.notes == ["Not timed in onnxruntime: torch.onnx could not export it"]
    assert found.notes[0] in str(found)


@pytest.mark.parametrize("target", [1.5])
def test_a_copy_that_does_not_run_is_a_refusal(session, target):
    """Whatever goes wrong inside a forward, the error says so and the model stays."""
    before = state(session.model)
    handle = session.model[0].register_forward_hook(fails)
    with pytest.raises(spa.SpaError, match="cannot be timed: RuntimeError: no more"):
        session.plan(latency=target)
    handle.remove()
    assert not differences(before, state(session.model))


def fails(*_: object) -> None:
    raise RuntimeError("no more")


def test_other_calls_for_other_sizes_are_timed_together(session):
    original, other = session.backend.timed(), session.backend.timed()
    parts = original.parts(session.analysis.graph)
    whole = original.split(original).sum()
    other._calls = [call._replace(name="fused", seconds=2.0) for call in original.calls()[:3]]
    taken = original.split(other)
    assert taken.shape == (len(parts),) and taken.sum() == pytest.approx(6.0)
    np.testing.assert_allclose(taken / 6.0, original.split(original) / whole)


def onnx_model() -> onnx.ModelProto:
    text = """
    net (float[1, 3, 12, 12] x) => (float[1, 4, 12, 12] y) {
        a = Conv(x, w1)
        b = Relu(a)
        c = Conv(b, w2)
        d = Relu(c)
        y = Conv(d, w3)
    }"""
    return build(text, w1=(64, 3, 1, 1), w2=(96, 64, 1, 1), w3=(4, 96, 1, 1))


@pytest.mark.parametrize("target", [1.3, 2.0])
def test_onnx(monkeypatch, target):
    model = onnx_model()
    session = spa.analyze(model)

    def said(self: OnnxTimed) -> float:
        return 1e-6 * (500 + self.size)

    def sized(self: OnnxTimed, model: onnx.ModelProto, given: object) -> None:
        real(self, model, given)
        self.size = sum(np.prod(t.dims) for t in model.graph.initializer)

    real = OnnxTimed.__init__
    monkeypatch.setattr(OnnxTimed, "__init__", sized)
    monkeypatch.setattr(OnnxTimed, "seconds", said)
    before = model.SerializeToString(deterministic=True)
    plan = session.plan(latency=target)
    assert model.SerializeToString(deterministic=True) == before
    session.prune(plan)
    assert target <= plan.latency[0] / plan.latency[1] <= 1.01 * target
    found = spa.measure(session)
    assert found.latency["onnxruntime"].factor == pytest.approx(plan.latency[0] / plan.latency[1])
    assert list(found.latency) == ["onnxruntime"]
