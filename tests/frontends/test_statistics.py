"""Statistics of gradients and curvature against direct computations."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scored_networks import batches, gated, loss, made
from statistics_of import (
    EXAMPLE,
    coupling_of,
    every_network,
    everything,
    in_both_modes,
    plain_gradients,
    same,
    statistic,
)
from torch import nn
from torch.func import functional_call

import spa_kernel as spa


@every_network
@in_both_modes
def test_gradients_equal_a_plain_loop(name: str, training: bool) -> None:
    model = made(name, training)
    found = plain_gradients(model)
    first = {n: sum(f[n] for f in found) / 3 for n in found[0]}
    second = {n: sum(f[n] ** 2 for f in found) / 3 for n in found[0]}
    same(statistic("gradient", model, batches()), first)
    same(statistic("squared_gradient", model, batches()), second)


@every_network
def test_gates_are_the_derivative_by_a_factor_on_what_is_read_of_a_channel(name: str) -> None:
    model = made(name)
    coupling = coupling_of(model)
    got = statistic("gate_gradient", model, batches())
    assert got.shape == (3, coupling.count)
    assert got.dtype == np.float64
    step = 1e-5
    for label in range(coupling.count):
        change = []
        for factor in (1 + step, 1 - step):
            other = copy.deepcopy(model)
            parameters = dict(other.named_parameters())
            for parameter, axis, mask in gated(name, coupling, label):
                with torch.no_grad():
                    parameters[parameter].transpose(0, axis)[torch.from_numpy(mask)] *= factor
            change.append([loss(other(x), y).item() for x, y in batches()])
        wanted = np.subtract(*change) / (2 * step)
        np.testing.assert_allclose(got[:, label], wanted, rtol=1e-5, atol=1e-8)


def whole_loss(model: nn.Module, temperature: float) -> tuple[Callable[..., Any], torch.Tensor]:
    """The mean loss of all batches as a function of all parameters in one vector."""
    shapes = {n: p.shape for n, p in model.named_parameters()}
    start = torch.cat([p.detach().flatten() for p in model.parameters()])

    def value(flat: torch.Tensor) -> torch.Tensor:
        parts = flat.split([s.numel() for s in shapes.values()])
        named = {n: p.view(s) for (n, s), p in zip(shapes.items(), parts, strict=True)}
        buffers = {n: b.clone() for n, b in model.named_buffers()}
        outputs = [(functional_call(model, {**named, **buffers}, x), y) for x, y in batches()]
        return torch.stack([loss(o / temperature, y) for o, y in outputs]).mean()

    return value, start


@every_network
@pytest.mark.parametrize(
    ("need", "temperature", "training"),
    [("hessian_gradient", 1.0, False), ("tempered_hessian_gradient", 200.0, True)],
)
def test_hessian_gradient_equals_the_whole_matrix(
    name: str, need: str, temperature: float, training: bool
) -> None:
    model = made(name, training)
    value, start = whole_loss(model, temperature)
    hessian = torch.autograd.functional.hessian(value, start)
    gradient = torch.autograd.functional.jacobian(value, start)
    got = statistic(need, model, batches())
    flat = np.concatenate([got[n].ravel() for n, _ in model.named_parameters()])
    wanted = (hessian @ gradient).numpy()
    np.testing.assert_allclose(flat, wanted, rtol=1e-6, atol=1e-9 * np.abs(wanted).max())


def test_hessian_of_one_batch() -> None:
    model = made("residual")
    once = statistic("hessian_gradient", model, batches()[:1])
    twice = statistic("hessian_gradient", model, batches()[:1] * 2)
    same(once, {n: torch.from_numpy(v) for n, v in twice.items()})


def test_a_loss_without_curvature_has_no_hessian() -> None:
    model = nn.Linear(3, 2)
    data = [(torch.randn(4, 3), torch.randn(4, 2))]
    got = statistic("hessian_gradient", model, data, lambda o, t: (o * t).sum(), inputs=(1, 3))
    assert all((v == 0).all() for v in got.values())


@pytest.mark.parametrize("name", ["residual", "grouped", "flattened", "tied"])
def test_flow_equals_a_copy_with_absolute_weights(name: str) -> None:
    model = made(name, training=True)
    got = statistic("flow", model)
    other = copy.deepcopy(model).eval()
    with torch.no_grad():
        for p in other.parameters():
            p.abs_()
        for n, b in other.named_buffers():
            if n.endswith("running_mean"):
                b.zero_()
    other(torch.ones(EXAMPLE, dtype=torch.float64)).sum().backward()
    same(got, {n: p.grad for n, p in other.named_parameters()})


def test_flow_is_the_same_in_every_layer() -> None:
    # Theorem 2 of the paper: what enters a layer leaves it.
    model = nn.Sequential(
        nn.Conv2d(3, 5, 3, bias=False),
        nn.BatchNorm2d(5),
        nn.ReLU(),
        nn.Conv2d(5, 4, 1, bias=False),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16, 3, bias=False),
    )
    model[1].running_mean.fill_(3.0)
    got = statistic("flow", model)
    assert got["0.weight"].dtype == np.float64
    sums = [
        float((got[f"{i}.weight"] * model[i].weight.abs().detach().numpy()).sum())
        for i in (0, 3, 6)
    ]
    assert sums[0] > 0
    assert sums == pytest.approx([sums[0]] * 3)


def test_flow_of_a_deep_network_stays_finite() -> None:
    model = nn.Sequential(*[nn.Linear(64, 64, bias=False) for _ in range(80)])
    got = statistic("flow", model, inputs=(1, 64))
    assert max(np.abs(v).max() for v in got.values()) > np.finfo(np.float32).max
    with torch.no_grad():
        model[0].weight.fill_(1e30)
        for layer in model[1:]:
            layer.weight.fill_(1e6)
    before = everything(model)
    with pytest.raises(spa.InfeasibleTarget, match="not finite"):
        statistic("flow", model, inputs=(1, 64))
    assert everything(model) == before


def test_flow_of_indices_and_of_code_with_its_own_type() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.head = nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.head(self.table(tokens).mean(1).to(torch.float32))
            return result

    tokens = torch.tensor([[1, 2, 2]])
    got = statistic("flow", Net(), inputs=tokens)
    assert (np.abs(got["table.weight"]).sum(axis=1) > 0).tolist() == [i in (1, 2) for i in range(7)]
