"""BatchNorm statistics anew: right, and nothing else is touched."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.progress import listening


def test_the_averages_over_the_batches(model: Any, batches: Any) -> None:
    inputs = [x for x, _ in batches]
    features = [model.stem(x).detach().transpose(0, 1).flatten(1) for x in inputs]
    assert spa.recalibrate(model, inputs) == 2
    mean = torch.stack([f.mean(1) for f in features]).mean(0)
    variance = torch.stack([f.var(1) for f in features]).mean(0)
    torch.testing.assert_close(model.norm.running_mean, mean)
    torch.testing.assert_close(model.norm.running_var, variance)


def test_nothing_else_changes(model: Any, batches: Any) -> None:
    model.train()
    model.second.eval()
    model(batches[0][0])
    names = ("norm.running", "second.running")
    before = {n: t.clone() for n, t in model.state_dict().items() if not n.startswith(names)}
    state = torch.get_rng_state()
    spa.recalibrate(model, batches)
    assert all(torch.equal(model.state_dict()[n], t) for n, t in before.items())
    assert (model.norm.momentum, model.second.momentum) == (0.1, None)
    assert model.training
    assert model.norm.training
    assert not model.second.training
    assert torch.equal(state, torch.get_rng_state())


def test_undo_brings_the_old_ones_back(session: spa.Session, batches: Any) -> None:
    before = {n: t.clone() for n, t in session.model.state_dict().items()}
    session.prune(ratio=0.4, scope="local", groups="inner")
    spa.recalibrate(session, batches)
    tuned = {n: t.clone() for n, t in session.model.state_dict().items()}
    # One layer lost channels, the other did not.
    assert tuned["second.running_mean"].shape != before["second.running_mean"].shape
    assert not torch.equal(tuned["norm.running_var"], before["norm.running_var"])
    session.undo()
    assert all(torch.equal(t, before[n]) for n, t in session.model.state_dict().items())
    session.redo()
    assert all(torch.equal(t, tuned[n]) for n, t in session.model.state_dict().items())


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_ones(model: Any, batches: Any, kind: Any) -> None:
    def data() -> Any:
        yield from batches[:2]
        raise kind("injected")

    class Data:
        def __iter__(self) -> Any:
            return data()

    before = {n: t.clone() for n, t in model.state_dict().items()}
    with pytest.raises(kind, match="injected"):
        spa.recalibrate(model, Data())
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())
    assert model.norm.momentum == 0.1
    assert model.training


def test_without_such_layers_there_is_nothing_to_do() -> None:
    assert spa.recalibrate(nn.Linear(2, 2), []) == 0


def test_refusals_and_progress(session: spa.Session, batches: Any, tmp_path: Any) -> None:
    with pytest.raises(spa.DataNeeded, match="no batch"):
        spa.recalibrate(session, [])
    session.export(tmp_path / "net.onnx")
    with pytest.raises(spa.InfeasibleTarget, match="recalibrate needs a torch module"):
        spa.recalibrate(spa.analyze(onnx.load(tmp_path / "net.onnx")), batches)
    heard: list[Any] = []
    with listening(lambda *what: heard.append(what)):
        spa.recalibrate(session, batches)
    assert heard[-1] == ("recalibrating, batch", 3, 3)
