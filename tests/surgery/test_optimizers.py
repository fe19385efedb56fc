"""An optimizer goes through prunes, undos and redos: its state always fits, and is the same."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from trained_network import WISHES, batch, train

import spa_kernel as spa

Make = Callable[[Any], torch.optim.Optimizer]

OPTIMIZERS: dict[str, Make] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9),
    "sgd_foreach": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, foreach=True),
    "sgd_fused": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, fused=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "adam_foreach": lambda p: torch.optim.Adam(p, 0.01, foreach=True),
    "adam_fused": lambda p: torch.optim.Adam(p, 0.01, fused=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01, weight_decay=0.1),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "adagrad_fused": lambda p: torch.optim.Adagrad(p, 0.01, fused=True),
    "adafactor": lambda p: torch.optim.Adafactor(p, 0.01),
    "asgd": lambda p: torch.optim.ASGD(p, 0.01),
    "rprop": lambda p: torch.optim.Rprop(p, 0.01),
}

State = dict[str, dict[str, torch.Tensor]]


def two_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Convolutions with one learning rate, all else with another."""
    own = list(model.named_parameters())
    return [
        {"params": [p for _, p in own if p.ndim == 4], "lr": 0.02},
        {"params": [p for _, p in own if p.ndim != 4]},
    ]


def memory(model: nn.Module, optimizer: torch.optim.Optimizer) -> State:
    """A copy of the state, by the names of the parameters."""
    return {
        name: {k: torch.as_tensor(v).clone() for k, v in optimizer.state.get(p, {}).items()}
        for name, p in model.named_parameters()
    }


def equal(one: State, other: State) -> bool:
    return all(
        one[name].keys() == other[name].keys()
        and all(torch.equal(one[name][key], other[name][key]) for key in one[name])
        for name in one
    )


def sliced(state: State, kept: dict[str, dict[int, Any]]) -> State:
    """What is to be left of a state: the kept indices, of axes that an entry has."""

    def cut(name: str, entry: torch.Tensor) -> torch.Tensor:
        for axis, index in kept.get(name, {}).items() if entry.numel() > 1 else ():
            if entry.shape[axis] > 1:
                entry = entry.index_select(axis, torch.from_numpy(index))
        return entry

    return {n: {k: cut(n, e) for k, e in entries.items()} for n, entries in state.items()}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_through_prunes_undos_and_redos(name: str, model: nn.Module, session: spa.Session) -> None:
    """Each way back is bit for bit; each state fits its parameters, so that training goes on."""
    optimizer = OPTIMIZERS[name](two_groups(model))
    train(model, optimizer, 1)
    before, states = memory(model, optimizer), []
    for ratio in (0.3, 0.4):
        start = memory(model, optimizer)
        report = session.prune(ratio=ratio, scope="local", optimizer=optimizer)
        assert equal(memory(model, optimizer), sliced(start, report.plan.kept))
        train(model, optimizer, 1)
        states.append((start, memory(model, optimizer)))
    for start, _ in reversed(states):
        session.undo()
        assert equal(memory(model, optimizer), start)
    for _, end in states:
        session.redo()
        assert equal(memory(model, optimizer), end)
    train(model, optimizer, 1)
    session.reset()
    assert equal(memory(model, optimizer), before)
    assert optimizer.param_groups[0]["lr"] == 0.02
    train(model, optimizer, 1)


@pytest.mark.parametrize("name", [n for n in OPTIMIZERS if n != "adafactor"])
def test_a_step_is_that_of_a_small_network(
    name: str, model: nn.Module, session: spa.Session
) -> None:
    """A network built small, with the sliced weights and state, makes the very same step."""
    model.double()
    session = spa.analyze(model, (2, 3, 8, 8))
    optimizer = OPTIMIZERS[name](model.parameters())
    inputs, targets = batch(0)

    def step(net: nn.Module, own: torch.optim.Optimizer) -> None:
        net.train()
        own.zero_grad()
        F.cross_entropy(net(inputs.double()), targets).backward()
        own.step()

    step(model, optimizer)
    session.prune(optimizer=optimizer, **WISHES)
    small = copy.deepcopy(model)
    other = OPTIMIZERS[name](small.parameters())
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    step(model, optimizer)
    step(small, other)
    for one, two in zip(model.parameters(), small.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=0)
    assert equal(memory(model, optimizer), memory(small, other))


def test_a_schedule_goes_on(model: nn.Module, session: spa.Session) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), 0.1)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    for rate in (0.05, 0.025):
        train(model, optimizer, 1)
        session.prune(ratio=0.2, optimizer=optimizer)
        train(model, optimizer, 1)
        schedule.step()
        assert schedule.get_last_lr() == [rate] == [g["lr"] for g in optimizer.param_groups]


def test_an_optimizer_that_is_given_too_late_is_refused(
    model: nn.Module, session: spa.Session
) -> None:
    """Its state is still that of the whole network: cut now, it would be wrong."""
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    train(model, optimizer, 1)
    whole = memory(model, optimizer)
    session.prune(ratio=0.3, scope="local")
    before = {name: p.clone() for name, p in model.named_parameters()}
    with pytest.raises(spa.InfeasibleTarget, match="pruned without optimizer="):
        session.prune(ratio=0.3, scope="local", optimizer=optimizer)
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert equal(memory(model, optimizer), whole)
    assert session.history.position == 1
    # One that has no state yet is fine, and so is the old one after an undo.
    session.prune(ratio=0.3, scope="local", optimizer=torch.optim.Adam(model.parameters()))
    session.undo(2)
    session.prune(ratio=0.3, scope="local", optimizer=optimizer)
    train(model, optimizer, 1)


class Blocks(torch.optim.SGD):
    """Keeps a number for every 5 elements."""

    def step(self, closure: Any = None) -> None:
        super().step(closure)
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["scale"] = torch.ones(-(-p.numel() // 5))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: torch.optim.LBFGS(p), "LBFGS keeps .* in a form that cannot be cut"),
        (lambda p: Blocks(p, 0.01), "Blocks keeps 'scale' of 'stem.weight' in a form"),
    ],
)
def test_state_of_another_form_is_refused(
    make: Make, message: str, model: nn.Module, session: spa.Session
) -> None:
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = make(trained)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        inputs, targets = batch(0)
        loss = F.cross_entropy(model(inputs), targets)
        loss.backward()
        return loss

    optimizer.step(closure)
    with pytest.raises(spa.InfeasibleTarget, match=message):
        session.prune(optimizer=optimizer, **WISHES)
    assert len(session.history) == 1
    assert session.prune(**WISHES).verified


def test_what_is_no_optimizer_of_this_model_is_refused(
    model: nn.Module, session: spa.Session
) -> None:
    other = torch.optim.Adam(nn.Linear(2, 2).parameters())
    with pytest.raises(spa.InfeasibleTarget, match="has no parameter of Net"):
        session.prune(optimizer=other, **WISHES)
    with pytest.raises(spa.InfeasibleTarget, match="not list"):
        session.prune(optimizer=[other], **WISHES)
