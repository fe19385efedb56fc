"""Gradient criteria against direct computations in plain torch, channel by channel."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scored_networks import NETWORKS, batches, gated, loss, made
from torch import nn

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling
from spa_kernel.importance import Context
from spa_kernel.importance.registry import wrap

EXAMPLE = (2, 3, 4, 4)
OF_LABELS = ["taylor", "obd", "snip", "grasp", "crop"]
Scores = dict[str, torch.Tensor]


def gradients(model: nn.Module, x: torch.Tensor, y: torch.Tensor) -> Scores:
    """By ``backward``, on a copy."""
    other = copy.deepcopy(model)
    loss(other(x), y).backward()
    return {n: p.grad for n, p in other.named_parameters()}


def flow_change(model: nn.Module, temperature: float) -> Scores:
    """Half the derivative of the gradient's squared norm, which is Hg."""
    other = copy.deepcopy(model)
    total = sum(loss(other(x) / temperature, y) for x, y in batches()) / len(batches())
    found = torch.autograd.grad(total, list(other.parameters()), create_graph=True)
    (sum((g**2).sum() for g in found) / 2).backward()
    return {n: p.grad for n, p in other.named_parameters()}


def snip(model: nn.Module) -> Scores:
    found = [gradients(model, x, y) for x, y in batches()]
    return {n: (p * sum(f[n] for f in found) / 3).abs() for n, p in model.named_parameters()}


def obd(model: nn.Module) -> Scores:
    found = [gradients(model, x, y) for x, y in batches()]
    return {n: p**2 * sum(f[n] ** 2 for f in found) / 6 for n, p in model.named_parameters()}


def grasp(model: nn.Module) -> Scores:
    change = flow_change(model, 200)
    return {n: p * change[n] for n, p in model.named_parameters()}


def crop(model: nn.Module) -> Scores:
    change = flow_change(model, 1)
    return {n: (p * change[n]).abs() for n, p in model.named_parameters()}


def synflow(model: nn.Module) -> Scores:
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.abs_()
        for name, buffer in other.named_buffers():
            if "running_mean" in name:
                buffer.zero_()
    other(torch.ones(EXAMPLE, dtype=torch.float64)).sum().backward()
    return {n: (p * p.grad).abs() for n, p in other.named_parameters()}


def elements(coupling: Coupling, scores: Scores, label: int) -> np.ndarray:
    """All elements that go with a label, axis by axis."""
    found = []
    for (value, axis), labels in coupling.axes.items():
        if value.kind == "parameter":
            rows = np.flatnonzero((labels == label).any(axis=1))
            found.append(scores[value.name].detach().numpy().take(rows, axis=axis).ravel())
    return np.concatenate(found)


DIRECT: dict[str, Callable[[nn.Module], Scores]] = {
    f.__name__: f for f in (snip, obd, grasp, crop, synflow)
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("criterion", DIRECT)
@pytest.mark.parametrize("training", [False, True])
def test_scores_equal_a_direct_computation(name: str, criterion: str, training: bool) -> None:
    model = made(name, training)
    session = spa.analyze(model, EXAMPLE)
    wanted = DIRECT[criterion](model)
    for agg, together in (("mean", np.mean), ("sum", np.sum)):
        got = session.importance(criterion, batches(), loss, agg=agg, norm="none")
        assert {g.id for g in session.groups} == set(got)
        for group in session.groups:
            own = [elements(session.analysis.coupling, wanted, int(n)) for n in group.labels]
            direct = np.array([together(e) for e in own])
            scale = max(np.abs(e).max() for e in own)
            np.testing.assert_allclose(got[group.id], direct, rtol=1e-8, atol=1e-10 * scale)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [False, True])
def test_taylor_is_the_square_of_the_sum(name: str, training: bool) -> None:
    model = made(name, training)
    session = spa.analyze(model, EXAMPLE)
    got = session.importance("taylor", batches(), loss, norm="none")
    weights = dict(model.named_parameters())
    each = [{n: weights[n] * g for n, g in gradients(model, x, y).items()} for x, y in batches()]
    for group in session.groups:
        for score, label in zip(got[group.id], group.labels, strict=True):
            gates = list(gated(name, session.analysis.coupling, int(label)))
            sums = [
                sum(np.compress(mask, e[n].detach().numpy(), axis).sum() for n, axis, mask in gates)
                for e in each
            ]
            assert score == pytest.approx(np.mean(np.square(sums)), rel=1e-8, abs=1e-16)


class Projected(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(3, 5, 2, batch_first=True, proj_size=4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.lstm(x.flatten(2).transpose(1, 2))[0][:, -1])
        return result


def test_what_a_projection_makes_is_not_read_by_it() -> None:
    model = Projected().double()
    session = spa.analyze(model, EXAMPLE)
    x, y = batches()[1]
    found = gradients(model, x, y)
    group = next(g for g in session.groups if ("lstm.weight_hr_l0", 0) in g.members)
    readers = [
        dict(model.named_parameters())[n] for n in ("lstm.weight_hh_l0", "lstm.weight_ih_l1")
    ]
    grads = [found[n] for n in ("lstm.weight_hh_l0", "lstm.weight_ih_l1")]
    wanted = sum((p * g).sum(0) for p, g in zip(readers, grads, strict=True)).square()
    got = session.importance("taylor", [(x, y)], loss, norm="none")[group.id]
    np.testing.assert_allclose(got, wanted.detach().numpy(), rtol=1e-8)


def test_taylor_tells_what_the_loss_loses() -> None:
    # Of a channel that does little, the first order is nearly all.
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.Conv2d(4, 3, 4), nn.Flatten()).double()
    with torch.no_grad():
        model[0].weight.mul_(0.01)
        model[0].bias.mul_(0.01)
    session = spa.analyze(model, EXAMPLE)
    (group,) = (g for g in session.groups if g.prunable)
    x, y = batches()[2]
    got = session.importance("taylor", [(x, y)], loss, norm="none")[group.id]
    for i, score in enumerate(got):
        other = copy.deepcopy(model)
        with torch.no_grad():
            other[0].weight[i] = 0
            other[0].bias[i] = 0
        lost = (loss(other(x), y) - loss(model(x), y)).item()
        assert score == pytest.approx(lost**2, rel=0.1)


def norm_of_gradient(model: nn.Module) -> float:
    total = sum(loss(model(x) / 200, y) for x, y in batches()) / len(batches())
    found = torch.autograd.grad(total, list(model.parameters()))
    return float(sum((g**2).sum() for g in found))


def test_the_sign_of_grasp() -> None:
    """What scores low adds to the gradient's norm when it goes; what scores high takes from it."""
    model = made("residual")
    session = spa.analyze(model, EXAMPLE)
    got = session.importance("grasp", batches(), loss, agg="sum", norm="none")
    group = next(g for g in session.groups if g.prunable)
    parameters = {v.name for v in session.analysis.graph.parameters}
    before, step = norm_of_gradient(model), 1e-5
    assert got[group.id].any()
    for score, label in zip(got[group.id], group.labels, strict=True):
        other = copy.deepcopy(model)
        tensors = dict(other.named_parameters())
        for (value, axis), labels in session.analysis.coupling.axes.items():
            if value.name in parameters:
                here = torch.from_numpy((labels == label).any(axis=1))
                with torch.no_grad():
                    tensors[value.name].transpose(0, axis)[here] *= 1 - step
        change = (norm_of_gradient(other) - before) / step
        assert change == pytest.approx(-2 * score, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize("criterion", [*OF_LABELS, "synflow"])
def test_a_dead_channel_goes_first(criterion: str) -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 5, 1), nn.ReLU(), nn.Flatten(), nn.Linear(20, 3)
    )
    with torch.no_grad():
        for tensor in (model[0].weight[2], model[0].bias[2], model[2].weight[:, 2]):
            tensor.zero_()
    data = [(x.float(), y) for x, y in batches()]
    session = spa.analyze(model, EXAMPLE)
    group = next(g for g in session.groups if g.name == "0")
    scores = session.importance(criterion, data, loss, norm="none")[group.id]
    assert scores[2] == 0
    assert np.count_nonzero(scores) == 5
    if criterion != "grasp":
        assert scores.argmin() == 2
        report = session.prune(
            criterion=criterion, data=data, loss=loss, groups=group.id, ratio=1 / 6, scope="local"
        )
        assert 2 not in report.plan.kept["0.weight"][0]


@pytest.mark.parametrize("criterion", OF_LABELS)
def test_what_is_needed_is_asked_for(criterion: str) -> None:
    model = made("flattened")
    session = spa.analyze(model, EXAMPLE)
    assert spa.criteria()[criterion].asks == "labels"
    with pytest.raises(spa.DataNeeded, match=r"needs data.*\(inputs, targets\)"):
        session.importance(criterion, loss=loss)
    with pytest.raises(spa.DataNeeded, match="needs a loss"):
        session.importance(criterion, batches())
    with pytest.raises(spa.DataNeeded, match="needs targets"):
        session.importance(criterion, [x for x, _ in batches()], loss)


@pytest.mark.parametrize("criterion", OF_LABELS)
def test_any_iterable_is_data(criterion: str) -> None:
    session = spa.analyze(made("residual"), EXAMPLE)
    wanted = session.importance(criterion, batches(), loss)
    by_generator = session.importance(criterion, (b for b in batches()), loss)
    assert all(np.array_equal(wanted[g], by_generator[g]) for g in wanted)


def test_a_criterion_may_need_several_statistics_of_a_generator() -> None:
    def both(context: Context, name: str, array: np.ndarray) -> np.ndarray:
        return (
            abs(array * context.given["gradient"][name]) + context.given["squared_gradient"][name]
        )

    session = spa.analyze(made("residual"), EXAMPLE)
    chosen = wrap(both, needs=("gradient", "squared_gradient"))
    wanted = session.importance(chosen, batches(), loss)
    got = session.importance(chosen, (b for b in batches()), loss)
    assert all(np.array_equal(wanted[g], got[g]) for g in wanted)


@pytest.mark.parametrize("seed", [-1, "one", 2**70])
@pytest.mark.parametrize("criterion", ["random", "taylor"])
def test_seeds_that_cannot_be_meant(criterion: str, seed: Any) -> None:
    session = spa.analyze(made("residual"), EXAMPLE)
    with pytest.raises(spa.InfeasibleTarget, match="seed="):
        session.importance(criterion, batches(), loss, seed=seed)


@pytest.mark.parametrize("criterion", OF_LABELS)
def test_one_batch_is_data(criterion: str) -> None:
    session = spa.analyze(made("residual"), EXAMPLE)
    one: Any = session.importance(criterion, batches()[0], loss)
    listed = session.importance(criterion, batches()[:1], loss)
    assert all(np.array_equal(listed[g], one[g]) for g in listed)


def test_synflow_asks_for_nothing() -> None:
    assert spa.criteria()["synflow"].asks == "nothing"
    model = made("residual", training=True)
    before = copy.deepcopy(model.state_dict())
    report = spa.analyze(model, EXAMPLE).prune(criterion="synflow", ratio=0.25, scope="local")
    assert report.verified
    assert before["0.weight"].dtype == model[0].weight.dtype


@pytest.mark.parametrize("criterion", [*OF_LABELS, "synflow"])
def test_frozen_models_in_training_are_scored_and_left(criterion: str) -> None:
    model = made("residual", training=True).requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    got = spa.analyze(model, EXAMPLE).importance(criterion, batches(), loss)
    assert any(v.any() for v in got.values())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())
