"""Numbers that Python loses track of: found to follow by trial, or held with a reason."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa
from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.torch.timing import TorchTimed


class Lost(nn.Module):
    """Flattens a map into a vector whose length it works out in some way."""

    def __init__(self, length: Callable[[torch.Tensor], int]) -> None:
        super().__init__()
        self.length = length
        self.first, self.second = nn.Conv2d(3, 16, 3, padding=1), nn.Conv2d(16, 16, 3, padding=1)
        self.wide, self.head = nn.Linear(16 * 16, 24), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.adaptive_avg_pool2d(self.second(F.relu(self.first(x))), 4)
        return self.head(F.relu(self.wide(x.reshape(-1, self.length(x)))))


LENGTHS: dict[str, Callable[[torch.Tensor], int]] = {
    "numpy": lambda x: int(np.prod(x.size()[1:])),
    "float": lambda x: int(x.shape[1] * 16.0),
    "math": lambda x: math.floor(x.shape[1] / 0.0625),
    "tensor": lambda x: torch.tensor(x.shape[1:]).prod().item(),
    "text": lambda x: int(str(x.shape[1])) * 16,
}


@pytest.mark.parametrize("way", LENGTHS)
def test_numbers_that_follow(way: str) -> None:
    torch.manual_seed(0)
    model = ordinary(Lost(LENGTHS[way]))
    outcome = judge(model, torch.randn(2, 3, 8, 8), ratio=0.5, scope="local")
    assert outcome.error < 1e-9
    assert outcome.lost > 0.6


def test_a_literal_does_not() -> None:
    session = spa.analyze(Lost(lambda x: 256), (2, 3, 8, 8))
    assert [f.name for f in session.frozen if "written in the code" in f.reason] == ["second"]


class Checked(Lost):
    """Insists on a size, or takes another path for another one."""

    def __init__(self, way: str) -> None:
        super().__init__(lambda x: x.shape[1] * 16)
        self.way = way

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.first(x))
        if self.way == "assert":
            assert x.shape[1] == 16
        x = F.adaptive_avg_pool2d(self.second(x), 4)
        y = self.wide(x.flatten(1))
        if self.way == "branch" and y.shape[1] < 24:
            y = F.pad(y, (0, 24 - y.shape[1]))
        return self.head(F.relu(y))


@pytest.mark.parametrize(("way", "stays"), [("assert", "first"), ("branch", "wide")])
def test_only_what_is_in_the_way_stays(way: str, stays: str) -> None:
    torch.manual_seed(0)
    model = ordinary(Checked(way))
    notes: list[str] = []
    outcome = judge(
        model,
        torch.randn(2, 3, 8, 8),
        ratio=0.5,
        scope="local",
        also=lambda session, report: notes.extend(report.notes),
    )
    assert outcome.error < 1e-9
    assert outcome.lost > 0.3
    assert len(notes) == 1 and f"({stays}) could not follow" in notes[0]


def test_also_where_copies_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A latency is planned with pruned copies, which do not follow either."""

    real = TorchTimed.seconds

    def seconds(timed: TorchTimed) -> float:
        real(timed)
        return 1e-6 * sum(p.numel() for p in timed.model.parameters())

    monkeypatch.setattr(TorchTimed, "seconds", seconds)
    for name, value in {"WIDTHS": 2, "COMPARED": (1, 2), "ROUNDS": 1}.items():
        monkeypatch.setattr(f"spa_kernel.session.latency.{name}", value)
    session = spa.analyze(Checked("assert"), (1, 3, 8, 8))
    with pytest.raises(VerificationFailed):
        session.plan(latency=1.3)
    report = session.prune(latency=1.3)
    assert report.rp >= 1.3
    assert any("(first) could not follow" in note for note in report.notes)
    session.undo()
