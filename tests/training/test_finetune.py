"""A short training: it trains, can be stopped, and leaves settings as they were."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.progress import listening

cross_entropy = nn.functional.cross_entropy


def test_it_trains(session: spa.Session, batches: Any) -> None:
    session.prune(ratio=0.3)
    session.model.train()
    session.model.norm.eval()
    training = spa.finetune(session, batches, cross_entropy, epochs=8, lr=0.02)
    assert len(training.losses) == 8
    assert training.losses[-1] < training.losses[0]
    assert not training.interrupted
    assert session.model.training
    assert not session.model.norm.training
    assert all(p.grad is None for p in session.model.parameters())
    assert "8 epochs" in str(training)


def test_it_is_the_plain_loop(model: nn.Module, batches: Any) -> None:
    twin = type(model)()
    twin.load_state_dict(model.state_dict())
    torch.manual_seed(1)
    own = torch.optim.SGD(twin.parameters(), 0.1)
    losses = []
    for inputs, targets in batches:
        loss = cross_entropy(twin(inputs), targets)
        own.zero_grad()
        loss.backward()
        own.step()
        losses.append(loss.item())
    torch.manual_seed(1)
    model.eval()
    found = spa.finetune(
        model, iter(batches), cross_entropy, optimizer=torch.optim.SGD(model.parameters(), 0.1)
    )
    assert found.losses == pytest.approx([sum(losses) / 3])
    assert not model.training
    for one, two in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, two)


def test_an_interrupt_keeps_what_was_trained(
    session: spa.Session, batches: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    calls = []

    def loss(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 5:
            raise KeyboardInterrupt
        return cross_entropy(output, targets)

    start = session.model.head.weight.detach().clone()
    training = spa.finetune(session, batches, loss, epochs=4)
    assert training.interrupted
    assert len(training.losses) == 2
    assert "Interrupted in epoch 2 of 4" in capsys.readouterr().out
    assert "Interrupted in epoch 2" in str(training)
    assert not torch.equal(start, session.model.head.weight)
    assert session.model.training


def test_inputs_of_all_kinds(batches: Any) -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(3, 4)

        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            result: torch.Tensor = self.layer(a + b)
            return result

    session = spa.analyze(Sum(), ((2, 3), (2, 3)))
    a, b, y = torch.randn(6, 3), torch.randn(6, 3), torch.arange(6) % 4
    pairs = [((a[i], b[i]), y[i]) for i in range(6)]
    loader = torch.utils.data.DataLoader(pairs, batch_size=3)
    for data in (loader, [((a, b), y)], [({"a": a, "b": b}, y)]):
        assert spa.finetune(session, data, cross_entropy).losses[0] > 0


def test_progress(session: spa.Session, batches: Any) -> None:
    heard: list[Any] = []
    with listening(lambda *what: heard.append(what)):
        spa.finetune(session, batches, cross_entropy, epochs=2)
    assert heard[-1] == ("training, epoch 2 of 2, batch", 3, 3)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda s, d: spa.finetune(s, d, cross_entropy, 0), spa.InfeasibleTarget, "epochs=0"),
        (lambda s, d: spa.finetune(s, [], cross_entropy), spa.DataNeeded, "no batch"),
        (lambda s, d: spa.finetune(s, 3, cross_entropy), spa.DataNeeded, "not int"),
        (lambda s, d: spa.finetune(s, [d[0][0]], cross_entropy), spa.DataNeeded, "targets"),
        (lambda s, d: spa.finetune(s, d, lambda y, t: 1.0), spa.DataNeeded, "one number"),
        (lambda s, d: spa.finetune("net", d, cross_entropy), spa.InfeasibleTarget, "not str"),
        (
            lambda s, d: spa.finetune(s.model.requires_grad_(False), d, cross_entropy),
            spa.InfeasibleTarget, "can be trained",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(
    call: Any, kind: Any, message: str, session: spa.Session, batches: Any
) -> None:
    before = {n: t.clone() for n, t in session.model.named_parameters()}
    with pytest.raises(kind, match=message):
        call(session, batches)
    assert all(torch.equal(t, before[n]) for n, t in session.model.named_parameters())
    assert session.model.training


def test_the_optimizer_of_another_model_is_refused(session: spa.Session, batches: Any) -> None:
    other = torch.optim.SGD(type(session.model)().parameters(), 0.1)
    for wrong, said in (other, "no parameter of Net"), ("adam", "not str"):
        with pytest.raises(spa.InfeasibleTarget, match=said):
            spa.finetune(session, batches, cross_entropy, optimizer=wrong)
