"""Forwards that look at values: how many entries there are, which branch is taken."""

from __future__ import annotations

import pytest
import torch
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa
from spa_kernel.frontends.torch.capture import normalise_inputs, record


class Selecting(nn.Module):
    """Scores places, and goes on with the good ones, as a detector does."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.features = nn.Conv2d(3, 24, 3, padding=1)
        self.score = nn.Conv2d(24, 1, 1)
        self.box = nn.Linear(24, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = self.features(x).relu()
        places = maps.flatten(2).transpose(1, 2).flatten(0, 1)
        score = self.score(maps).flatten()
        match self.way:
            case "mask":
                places = places[score > 0]
            case "nonzero":
                places = places[torch.where(score > score.mean())[0]]
            case "count":
                places = places[: int((score > 0).sum())]
            case "branch":
                places = places * 2 if score.max() > score.min().abs() else places[::2]
            case "loop":
                while score.std() < 3:
                    score, places = score * 1.5, places * 1.5
        return self.head(self.box(places).relu()).mean(0, keepdim=True)


WAYS = "mask", "nonzero", "count", "branch", "loop"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seed", range(3))
def test_pruned_exactly(way: str, seed: int) -> None:
    torch.manual_seed(seed)
    model = ordinary(Selecting(way), seed)
    outcome = judge(model, torch.randn(1, 3, 8, 8), ratio=0.5, scope="local")
    assert not outcome.refused
    assert outcome.error < 1e-9
    assert outcome.lost > 0.3


def test_an_earlier_recording_decides() -> None:
    """On other weights the forward would select other places; the two must be comparable."""
    model = ordinary(Selecting("mask"))
    inputs = normalise_inputs(torch.randn(1, 3, 8, 8), torch.device("cpu"), torch.float32)
    first = record(model, inputs)
    with torch.no_grad():
        model.score.bias += 0.3
    free, bound = record(model, inputs), record(model, inputs, first)
    lengths = [[v.shape for n in r.graph.nodes for v in n.outputs] for r in (first, free, bound)]
    assert lengths[0] != lengths[1]
    assert lengths[0] == lengths[2]


def test_what_the_example_decided_is_said() -> None:
    session = spa.analyze(Selecting("branch"), (1, 3, 8, 8))
    assert "test_decisions.py" in session.notes[1]
    assert session.notes[1] in " ".join(str(session).split())
