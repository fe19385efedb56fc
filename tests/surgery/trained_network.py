"""A network with everything that a prune must leave as it is, and ways to train it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

WISHES: dict[str, Any] = {"ratio": 0.5, "scope": "local"}


class Net(nn.Module):
    """A residual block, a layer that is used under two names, and one that is not trained."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 3, padding=1, bias=False)
        self.outer = nn.Conv2d(12, 8, 3, padding=1)
        self.left = nn.Linear(8, 16)
        self.right = nn.Linear(8, 16)
        self.right.weight = self.left.weight
        self.frozen = nn.Linear(16, 10).requires_grad_(False)
        self.head = nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = (x + self.outer(F.relu(self.inner(x)))).mean((2, 3))
        y = F.relu(self.left(x)) * torch.sigmoid(self.right(x))
        result: torch.Tensor = self.head(F.relu(self.frozen(y)))
        return result


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(6, 3, 8, 8, generator=generator), torch.arange(6) % 4


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3) -> list[float]:
    """Some steps in training mode; the losses."""
    model.train()
    losses = []
    for step in range(steps):
        x, target = batch(step)
        loss = F.cross_entropy(model(x), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.05),
    "momentum": lambda p: torch.optim.SGD(p, 0.05, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01, amsgrad=True),
    "adamw": lambda p: torch.optim.AdamW(p, 0.01),
    "adamw_foreach": lambda p: torch.optim.AdamW(p, 0.01, foreach=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
}
