from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from onnx import ModelProto
from onnx_networks import build
from studied_network import SHAPE, Net, score
from torch import nn

import spa_kernel as spa


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """Sums come out the same to the last digit, as workers of a cluster have one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    model = Net().eval()
    model.inner.train()
    model.stem.weight.grad = torch.ones_like(model.stem.weight)
    return model


@pytest.fixture
def session(model: nn.Module) -> spa.Session:
    """In the middle of its history: a step was taken, and one was undone."""
    session = spa.analyze(model, SHAPE)
    for _ in range(2):
        session.prune(ratio=0.2, scope="local", verify=False)
    session.undo()
    return session


@pytest.fixture
def untouched(session: spa.Session) -> Callable[[], None]:
    """Checks that the session and its model are bit for bit what they were."""
    model = session.model

    def state() -> list[object]:
        tensors = [
            (name, id(t), t.clone(), t.requires_grad, None if t.grad is None else t.grad.clone())
            for name, t in [*model.named_parameters(), *model.named_buffers()]
        ]
        modes = [module.training for module in model.modules()]
        steps = [(step.label, step.current) for step in session.history]
        return [tensors, modes, steps, torch.get_rng_state()]

    before = state()

    def check() -> None:
        tensors, *rest = state()
        assert len(tensors) == len(before[0])
        for new, old in zip(tensors, before[0], strict=True):
            assert (*new[:2], new[3]) == (*old[:2], old[3])
            assert torch.equal(new[2], old[2])
            assert (new[4] is None) == (old[4] is None)
            assert new[4] is None or torch.equal(new[4], old[4])
        assert rest[:2] == before[1:3]
        assert torch.equal(rest[2], before[3])
        session.redo()
        session.undo()

    return check


@pytest.fixture
def onnx_model() -> ModelProto:
    return build(
        """net (float[2, 4] x) => (float[2, 3] y) {
            a = Gemm(x, w, b)
            c = Relu(a)
            y = MatMul(c, v)
        }""",
        w=(4, 8), b=(8,), v=(8, 3),
    )  # fmt: skip


class Interrupted:
    """``score``, until somebody presses the stop button."""

    def __init__(self, calls: int, error: BaseException | None = None) -> None:
        self.calls, self.error = calls, error or KeyboardInterrupt()

    def __call__(self, model: nn.Module) -> float:
        self.calls -= 1
        if self.calls < 0:
            raise self.error
        return score(model)


@pytest.fixture
def stops() -> type[Interrupted]:
    return Interrupted
