"""An interrupt in the middle of an undo or a redo takes effect when it is done."""

import signal
from collections.abc import Iterator

import pytest
import torch
from reference import differences, state
from torch import nn

import spa_kernel as spa
from spa_kernel.interrupts import uninterrupted


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """A shell starts what runs in its background deaf to interrupts."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


class Stop:
    """Among what a prune changed; somebody presses the stop button when its turn comes."""

    nbytes = 0

    def swap(self) -> None:
        signal.raise_signal(signal.SIGINT)


def test_an_interrupt_waits_for_the_end_of_the_outer_block() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            with uninterrupted():
                signal.raise_signal(signal.SIGINT)
                done.append("inner")
            done.append("outer")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["inner", "outer"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("place", [0, 3, -1])
def test_undo_and_redo_are_never_left_half_done(place: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    session = spa.analyze(model, (1, 3, 8, 8))
    before = state(model)
    session.prune(ratio=0.5)
    pruned = state(model)
    session.history[1].change.entries.insert(place, Stop())
    with pytest.raises(KeyboardInterrupt):
        session.undo()
    assert session.history.position == 0
    assert not differences(before, state(model))
    with pytest.raises(KeyboardInterrupt):
        session.redo()
    assert session.history.position == 1
    assert not differences(pruned, state(model))
