"""Networks that write into tensors, also through views of them."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn


class Written(nn.Module):
    """A convolution whose output is written to, then read by another one."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way, self.part = way, 8
        self.stem = nn.Conv2d(3, 32, 3, padding=1)
        self.some = nn.Conv2d(8, 8, 3, padding=1)
        self.rest = nn.Conv2d(32, 24, 3, padding=1)
        self.read = nn.Conv2d(32, 16, 1)
        self.head = nn.Linear(16, 5)

    def write(self, x: torch.Tensor) -> torch.Tensor:
        n = self.part
        match self.way:
            case "slice":
                x[:, :n] = self.some(x[:, :n])
            case "copy":
                x = x.clone()
                x[:, -n:, :, :] = self.some(x[:, :n])
            case "add":
                x[:, :n] += self.some(x[:, :n])
            case "chunks":
                first, second, *_ = x.chunk(4, 1)
                second.mul_(first)
            case "transposed":
                x.transpose(1, 3)[..., n:].relu_()
            case "view of a view":
                x[:, n:][:, n:].add_(1.0)
            case "read before":
                before = x[:, :n]
                x.mul_(2.0)
                x = torch.cat([before, x[:, n:]], 1)
            case "in parts":
                parts = torch.empty_like(x)
                parts[:, :n] = self.some(x[:, :n])
                parts[:, n:] = self.rest(x)
                x = parts
            case "constant":
                whole = torch.zeros(*x.shape)
                view = whole[:, :n]
                whole.add_(x)
                view.mul_(3.0)
                x = whole
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(F.relu(self.read(self.write(self.stem(x)))).mean((2, 3)))


WAYS = (
    "slice", "copy", "add", "chunks", "transposed", "view of a view", "read before", "in parts",
    "constant",
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_writes(way: str) -> None:
    torch.manual_seed(0)
    outcome = judge(ordinary(Written(way)), torch.randn(2, 3, 8, 8), ratio=0.5, scope="local")
    assert not outcome.refused
    assert outcome.error < 1e-9
    assert outcome.rf > 1.6


@pytest.mark.parametrize("way", WAYS)
def test_analysis_alone_is_sound(way: str) -> None:
    torch.manual_seed(0)
    model = ordinary(Written(way))
    outcome = judge(model, torch.randn(2, 3, 8, 8), ratio=0.5, scope="local", verify=False)
    assert outcome.refused or outcome.error < 1e-9


class Steps(nn.Module):
    """Writes one time step after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(6, 32), nn.Linear(6, 32), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.a(x)
        y[:, 0] = self.b(x[:, 1])
        z = torch.zeros_like(y)
        for t in range(x.shape[1]):
            z[:, t] = y[:, t] * 2
        return self.c(F.relu(z))


def test_steps() -> None:
    torch.manual_seed(0)
    outcome = judge(ordinary(Steps()), torch.randn(2, 3, 6), ratio=0.5, scope="local")
    assert outcome.error < 1e-9
    assert outcome.lost > 0.4


class Joined(nn.Module):
    """Memory that is asked for without a content, and written to in two parts."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.out = nn.Linear(6, 8), nn.Linear(6, 16), nn.Linear(24, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.a(x), self.b(x)
        whole = a.new_empty(len(x), a.shape[1] + b.shape[1])
        whole[:, : a.shape[1]] = a
        whole[:, a.shape[1] :] = b
        return self.out(whole)


def test_memory_without_content() -> None:
    torch.manual_seed(0)
    outcome = judge(ordinary(Joined()), torch.randn(3, 6), ratio=0.5, scope="local")
    assert outcome.error < 1e-9
    assert outcome.lost > 0.4
