"""Traced copies: sizes that are written in the code follow a prune."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa


class Literal(nn.Module):
    """As in many a lesson: sizes in plain numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 16, 3, padding=1)
        self.f1, self.f2 = nn.Linear(16 * 4 * 4, 24), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        x = self.c2(x)
        x = F.max_pool2d(F.relu(x.view(-1, 2, 8, 8, 8).reshape(-1, 16, 8, 8)), 2)
        x = self.f1(x.view(-1, 16 * 4 * 4))
        a, b, c = x.split(8, 1)
        return self.f2(a[:, :8] * b + c)


def test_literals_hold_their_channels() -> None:
    session = spa.analyze(Literal(), (2, 1, 16, 16))
    reasons = [f.reason for f in session.frozen if "spa.traced" in f.reason]
    assert reasons and all("test_traced.py" in reason for reason in reasons)


def test_in_a_traced_copy_they_follow() -> None:
    torch.manual_seed(0)
    model = ordinary(Literal())
    x, before = torch.randn(2, 1, 16, 16), copy.deepcopy(model.state_dict())
    copied = spa.traced(model)
    assert torch.equal(copied(x), model(x))
    outcome = judge(copied, x, ratio=0.5, scope="local")
    assert outcome.error < 1e-9
    assert outcome.lost > 0.6
    # The model itself is left as it was.
    assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())


def test_what_cannot_be_traced_is_refused() -> None:
    class Branching(Literal):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(spa.CaptureError, match="cannot be traced"):
        spa.traced(Branching())
