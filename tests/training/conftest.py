"""A small residual network that can be trained in a moment."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import spa_kernel as spa

SHAPE = (4, 3, 6, 6)


class Net(nn.Module):
    """A shortcut, a depthwise layer, and a layer that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.inner = nn.Conv2d(6, 8, 3, padding=1)
        self.deep = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.second = nn.BatchNorm2d(8, momentum=None)
        self.outer = nn.Conv2d(8, 6, 1)
        self.unused = nn.BatchNorm2d(5)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = x + self.outer(torch.relu(self.second(self.deep(self.inner(x)))))
        result: torch.Tensor = self.head(torch.dropout(x.mean((2, 3)), 0.1, self.training))
        return result


@pytest.fixture
def model() -> nn.Module:
    return Net()


@pytest.fixture
def session(model: nn.Module) -> spa.Session:
    return spa.analyze(model, SHAPE, name="net")


@pytest.fixture
def batches() -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(torch.randn(SHAPE), torch.arange(4)) for _ in range(3)]
