"""A model is what it was after a statistic was computed of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scored_networks import batches, loss, made
from statistics_of import (
    EXAMPLE,
    OF_LABELS,
    everything,
    in_both_modes,
    same,
    statistic,
)
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import spa_kernel as spa


@pytest.mark.parametrize("need", [*OF_LABELS, "flow"])
@in_both_modes
def test_the_model_is_what_it_was(need: str, training: bool) -> None:
    model = made("residual", training)
    parameters = list(model.parameters())
    for p in parameters[::2]:
        p.requires_grad_(False)
    parameters[1].grad = torch.ones_like(parameters[1])
    data = batches()
    before, content = everything(model), [x.clone() for x, _ in data]
    statistic(need, model, data)
    assert everything(model) == before
    assert all(torch.equal(x, y) for (x, _), y in zip(data, content, strict=True))


@pytest.mark.parametrize("need", OF_LABELS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
@pytest.mark.parametrize("inside", ["loss", "forward"])
def test_the_model_is_what_it_was_after_an_error(
    need: str, error: type[BaseException], inside: str
) -> None:
    model = made("residual", training=True)
    model[0].weight.requires_grad_(False)
    session = spa.analyze(model, EXAMPLE)
    calls = []

    def fails(where: str) -> None:
        calls.append(where)
        if calls.count(inside) == 2:
            raise error

    def failing(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        fails("loss")
        return loss(output, targets)

    model[3].register_forward_hook(lambda *_: fails("forward"))
    before = everything(model)
    wanted = error if error is KeyboardInterrupt else spa.DataNeeded
    with pytest.raises(wanted):
        session.backend.statistic(need, session.analysis.coupling, batches(), failing)
    assert len(calls) > 1
    assert everything(model) == before


def test_flow_interrupted() -> None:
    model = made("residual")
    session = spa.analyze(model, EXAMPLE)

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    model[3].register_forward_hook(stop)
    before = everything(model)
    with pytest.raises(KeyboardInterrupt):
        session.backend.statistic("flow", session.analysis.coupling)
    assert everything(model) == before


def test_forwards_that_write_into_weights_and_inputs() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(7, 4, max_norm=0.1)
            self.inner = spectral_norm(nn.Linear(4, 5))
            self.head = nn.Linear(5, 3)
            self.calls = 0

        def forward(self, tokens: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            self.head.weight.data.clamp_(-0.1, 0.1)
            x = self.inner(self.table(tokens.fmod_(7)).mean(1))
            result: torch.Tensor = self.head(torch.relu_(x))
            return result

    model = Net()
    tokens, targets = torch.randint(7, 30, (4, 3)), torch.randint(3, (4,))
    session = spa.analyze(model, torch.ones(1, 3, dtype=torch.int64))
    before, given = everything(model), tokens.clone()
    for need in [*OF_LABELS, "flow"]:
        session.backend.statistic(
            need, session.analysis.coupling, [(tokens, targets)] * 2, nn.functional.cross_entropy
        )
        assert everything(model) == before, need
        assert torch.equal(tokens, given)


class Caching(nn.Module):
    """Writes into tensors that lie in a list and in a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(48, 3)
        self.seen, self.cache = [torch.zeros(3)], {"last": (torch.zeros(3),)}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x.float().flatten(1))
        self.seen[0] += 1
        self.cache["last"][0].copy_(out.detach()[0])
        return out * self.seen[0]


@pytest.mark.parametrize("need", ["gradient", "input_norm", "flow"])
def test_forwards_that_write_into_tensors_in_containers(need: str) -> None:
    model = Caching()
    session = spa.analyze(model, torch.randn(EXAMPLE))
    kept = [model.seen[0], model.cache["last"][0]]
    before = [t.clone() for t in kept]
    session.backend.statistic(need, session.analysis.coupling, batches(), loss)
    assert all(torch.equal(t, b) for t, b in zip(kept, before, strict=True))


@pytest.mark.parametrize("training", [False, True])
def test_every_batch_meets_the_same_model(training: bool) -> None:
    model = made("residual", training)
    model.append(nn.Dropout(0.0))
    forth = statistic("squared_gradient", model, batches())
    back = statistic("squared_gradient", model, batches()[::-1])
    same(forth, {n: torch.from_numpy(v) for n, v in back.items()})


def test_random_numbers_follow_from_the_seed() -> None:
    model = made("flattened", training=True)
    model.insert(1, nn.Dropout(0.5))
    got = [statistic("hessian_gradient", model, batches(), seed=s)["0.weight"] for s in (1, 1, 2)]
    assert np.array_equal(got[0], got[1])
    assert not np.array_equal(got[0], got[2])
