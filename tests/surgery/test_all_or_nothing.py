"""A prune that fails, or is interrupted, anywhere: the model is what it was."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from reference import differences, state
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from trained_network import WISHES, Net, train

import spa_kernel as spa


class BrokenCall(TorchDispatchMode):
    """Lets the n-th call of torch fail, whoever makes it."""

    def __init__(self, number: int, kind: type[BaseException]) -> None:
        super().__init__()
        self.left, self.kind = number, kind

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.kind("injected")
        return func(*args, **(kwargs or {}))


class Interrupt:
    """Presses Ctrl-C as the n-th function of the engine is entered."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, frame: Any, event: str, argument: Any) -> None:
        if event == "call" and ENGINE in frame.f_code.co_filename:
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt("injected")

    def __enter__(self) -> Interrupt:
        sys.setprofile(self)
        return self

    def __exit__(self, *_: Any) -> None:
        sys.setprofile(None)


ENGINE = str(Path(spa.__file__).parent)
MANY = 10**9


def prune_with(breakage: Any) -> None:
    """Prune while something breaks: the model and its optimizer are what they were."""
    torch.manual_seed(0)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    session = spa.analyze(model, (2, 3, 8, 8))
    before, memory = state(model), copy.deepcopy(optimizer.state_dict())
    try:
        with breakage:
            session.prune(optimizer=optimizer, **WISHES)
    except (RuntimeError, MemoryError, KeyboardInterrupt, spa.SpaError):
        assert session.history.position == 0
        assert len(session.history) == 1
    else:
        # It got by (the check that failed is not the only one), so it can be taken back.
        session.undo()
    assert not differences(before, state(model))
    now = optimizer.state_dict()["state"]
    for number, entries in memory["state"].items():
        assert all(torch.equal(now[number][k], v) for k, v in entries.items())
    assert session.prune(optimizer=optimizer, **WISHES).verified


def spread(breakage: Any, parts: int, at: int) -> int:
    """A number between 1 and the number of calls that a prune makes, ``at`` of ``parts``."""
    prune_with(breakage)
    return 1 + (MANY - breakage.left) * at // parts


@pytest.mark.parametrize("at", range(12))
@pytest.mark.parametrize("kind", [RuntimeError, KeyboardInterrupt])
def test_all_or_nothing_when_torch_fails(at: int, kind: type[BaseException]) -> None:
    number = spread(BrokenCall(MANY, kind), 12, at)
    prune_with(BrokenCall(number, kind))


@pytest.mark.parametrize("at", range(20))
def test_all_or_nothing_when_interrupted(at: int) -> None:
    prune_with(Interrupt(spread(Interrupt(MANY), 20, at)))


@pytest.mark.slow
def test_all_or_nothing_wherever_it_is_interrupted() -> None:
    counter = Interrupt(MANY)
    prune_with(counter)
    calls = MANY - counter.left
    failed = []
    for number in range(1, calls, max(1, calls // 500)):
        try:
            prune_with(Interrupt(number))
        except AssertionError as error:
            failed.append((number, str(error)[:80]))
    assert not failed


def test_an_interrupt_after_the_surgery_takes_it_back(
    monkeypatch: Any, model: nn.Module, session: spa.Session
) -> None:
    """The analysis of the pruned model is the last thing that a prune does."""
    before = state(model)

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("spa_kernel.session.analysis.couple", interrupted)
        with pytest.raises(KeyboardInterrupt):
            session.prune(**WISHES)
    assert not differences(before, state(model))
    assert session.history.position == 0
    session.prune(**WISHES)
