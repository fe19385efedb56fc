"""Recurrent layers: hidden units go exactly, the layers' attributes follow, and all comes back."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from reference import Outcome, judge, ordinary
from structures import Forward
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

import spa_kernel as spa

EXACT = 1e-5
SEQUENCE = (3, 5, 8)


def exact(model: nn.Module, *shapes: tuple[int, ...], **wishes: Any) -> Outcome:
    torch.manual_seed(2)
    inputs = tuple(torch.randn(shape) for shape in shapes or (SEQUENCE,))
    wishes = {"ratio": 0.5, "scope": "local"} | wishes
    outcome = judge(ordinary(model), inputs if len(inputs) > 1 else inputs[0], **wishes)
    assert not outcome.refused, outcome.refused
    assert outcome.error < EXACT
    return outcome


LAYERS = {
    f"{kind} bias={bias} bidirectional={both} layers={count}": (kind, bias, both, count)
    for kind, bias, both, count in itertools.product(
        ("LSTM", "GRU", "RNN"), (True, False), (True, False), (1, 2)
    )
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str) -> None:
    kind, bias, both, count = LAYERS[name]
    layer = getattr(nn, kind)(8, 6, count, bias=bias, bidirectional=both, batch_first=count == 1)
    model = Forward(
        lambda self, x: self.last(self.layer(self.first(x))[0]),
        first=nn.Linear(8, 8),
        layer=layer,
        last=nn.Linear(6 * (1 + both), 3),
    )

    def attributes(session: spa.Session, report: spa.Report) -> None:
        assert layer.hidden_size == layer.weight_hh_l0.shape[1] < 6
        assert layer.input_size == layer.weight_ih_l0.shape[1] < 8
        assert all(a is b for a, b in zip(layer._flat_weights, layer.parameters(), strict=True))
        model(torch.randn(2, 7, 8))

    assert exact(model, also=attributes, verify=False).lost > 0.5


@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"num_layers": 2}])
@pytest.mark.parametrize("bias", [True, False])
def test_projections(options: dict[str, Any], bias: bool) -> None:
    layer = nn.LSTM(8, 12, proj_size=6, bias=bias, **options)
    width = 12 if options.get("bidirectional") else 6
    model = Forward(lambda s, x: s.last(s.layer(x)[0]), layer=layer, last=nn.Linear(width, 3))

    def attributes(session: spa.Session, report: spa.Report) -> None:
        assert (layer.hidden_size, layer.proj_size) == (6, 3)

    exact(model, also=attributes)


def test_layers_may_lose_different_units_where_only_the_sequence_is_used() -> None:
    layer = nn.LSTM(8, 6, 2)
    model = Forward(lambda s, x: s.last(s.layer(x)[0]), layer=layer, last=nn.Linear(6, 3))
    of_layer = [g for g in spa.analyze(model, SEQUENCE).groups if g.name == "layer" and g.prunable]
    assert len(of_layer) == 2


def both_ends(self: Any, x: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = self.last(torch.cat(list(self.layer(x)[1][-2:]), 1))
    return out


def translated(self: Any, x: torch.Tensor) -> torch.Tensor:
    _, state = self.encoder(x)
    out: torch.Tensor = self.last(self.decoder(x.flip(1), state)[0])
    return out


def started(self: Any, x: torch.Tensor) -> torch.Tensor:
    state = torch.tanh(self.start(x.mean(1)))[None]
    out: torch.Tensor = self.last(self.layer(x, state)[0])
    return out


def learned(self: Any, x: torch.Tensor) -> torch.Tensor:
    state = self.start.expand(-1, x.size(0), -1).contiguous()
    out: torch.Tensor = self.last(self.layer(x, state)[0])
    return out


def packed(self: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = torch.tensor([2, 5, 4])
    rows = pack_padded_sequence(self.first(x), lengths, batch_first=True, enforce_sorted=False)
    rows, state = self.layer(rows)
    steps, _ = pad_packed_sequence(rows, batch_first=True)
    return self.last(steps), self.last(state[-1])


def pooled(self: Any, x: torch.Tensor) -> torch.Tensor:
    steps, _ = self.layer(x)
    weights = torch.softmax(self.score(steps), 1)
    out: torch.Tensor = self.last((weights * steps).sum(1))
    return out


STATES: dict[str, Callable[[], nn.Module]] = {
    "last state": lambda: Forward(
        lambda s, x: s.last(s.layer(x)[1][0][-1]), layer=nn.LSTM(8, 6, 2), last=nn.Linear(6, 3)
    ),
    "last states of both directions": lambda: Forward(
        both_ends, layer=nn.GRU(8, 6, 2, bidirectional=True), last=nn.Linear(12, 3)
    ),
    "last step": lambda: Forward(
        lambda s, x: s.last(s.layer(x)[0][:, -1]),
        layer=nn.LSTM(8, 6, batch_first=True),
        last=nn.Linear(6, 3),
    ),
    "encoder and decoder": lambda: Forward(
        translated,
        encoder=nn.LSTM(8, 6, 2, batch_first=True),
        decoder=nn.LSTM(8, 6, 2, batch_first=True),
        last=nn.Linear(6, 3),
    ),
    "first state from a layer": lambda: Forward(
        started, start=nn.Linear(8, 6), layer=nn.GRU(8, 6, batch_first=True), last=nn.Linear(6, 3)
    ),
    "first state learned": lambda: Forward(
        learned,
        start=nn.Parameter(torch.ones(2, 1, 6)),
        layer=nn.GRU(8, 6, 2, batch_first=True),
        last=nn.Linear(6, 3),
    ),
    "packed sequences": lambda: Forward(
        packed, first=nn.Linear(8, 8), layer=nn.GRU(8, 6, batch_first=True), last=nn.Linear(6, 3)
    ),
    "attention over steps": lambda: Forward(
        pooled,
        layer=nn.LSTM(8, 6, batch_first=True, bidirectional=True),
        score=nn.Linear(12, 1),
        last=nn.Linear(12, 3),
    ),
    "relu": lambda: Forward(
        lambda s, x: s.last(s.layer(x)[0]),
        layer=nn.RNN(8, 6, nonlinearity="relu"),
        last=nn.Linear(6, 3),
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_states(name: str) -> None:
    torch.manual_seed(0)
    assert exact(STATES[name]()).lost > 0.3


def test_a_sequence_without_batch() -> None:
    model = Forward(lambda s, x: s.last(s.layer(x)[0]), layer=nn.GRU(8, 6), last=nn.Linear(6, 3))
    exact(model, (5, 8))


def test_a_state_that_is_an_input_keeps_its_units() -> None:
    model = Forward(
        lambda s, x, h: s.last(s.layer(s.first(x), h)[0]),
        first=nn.Linear(8, 8),
        layer=nn.GRU(8, 6, batch_first=True),
        last=nn.Linear(6, 3),
    )
    session = spa.analyze(model, (torch.randn(SEQUENCE), torch.randn(1, 3, 6)))
    assert not any(("layer.weight_hh_l0", 1) in g.members for g in session.groups if g.prunable)
    exact(model, SEQUENCE, (1, 3, 6))


def test_zeros_of_a_literal_size_hold_on_to_units() -> None:
    layers = {"layer": nn.GRU(8, 6, batch_first=True), "last": nn.Linear(6, 3)}
    model = Forward(lambda s, x: s.last(s.layer(x, torch.zeros(1, 3, 6))[0]), **layers)
    assert not any(group.prunable for group in spa.analyze(model, SEQUENCE).groups)


@pytest.mark.parametrize("kind", ["LSTMCell", "GRUCell", "RNNCell"])
def test_cells(kind: str) -> None:
    cell = getattr(nn, kind)(8, 6)

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        state, steps = None, []
        for t in range(x.size(1)):
            state = self.cell(self.first(x[:, t]), state)
            steps.append(state[0] if kind == "LSTMCell" else state)
        out: torch.Tensor = self.last(torch.stack(steps, 1))
        return out

    model = Forward(forward, first=nn.Linear(8, 8), cell=cell, last=nn.Linear(6, 3))

    def attributes(session: spa.Session, report: spa.Report) -> None:
        assert (cell.hidden_size, cell.input_size) == (3, 4)

    exact(model, also=attributes)


class Written(nn.Module):
    """A convolutional LSTM that makes its first state itself."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = 6
        self.cell = nn.Conv2d(3 + 6, 24, 3, padding=1)
        self.last = nn.Conv2d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        h = x.new_zeros(x.size(0), self.hidden, *x.shape[-2:])
        c = torch.zeros_like(h)
        for frame in x.unbind(1):
            i, f, o, g = torch.split(self.cell(torch.cat([frame, h], 1)), self.hidden, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        out: torch.Tensor = self.last(h)
        return out


@pytest.mark.parametrize("verify", [True, False])
def test_a_cell_written_by_hand(verify: bool) -> None:
    model = Written()

    def attributes(session: spa.Session, report: spa.Report) -> None:
        assert model.hidden == 3

    exact(model, (2, 4, 3, 8, 8), also=attributes, verify=verify)


def test_many_steps_cost_nothing() -> None:
    layers = {"layer": nn.LSTM(16, 32, 2), "last": nn.Linear(32, 3)}
    model = Forward(lambda s, x: s.last(s.layer(x)[0]), **layers)
    start = time.perf_counter()
    spa.analyze(model, (1000, 4, 16))
    assert time.perf_counter() - start < 5
