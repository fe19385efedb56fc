"""Small networks with a group of each kind."""

from __future__ import annotations

import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.session import Session


def made() -> Session:
    """Three plain groups, one that competes in two blocks, and the frozen output."""
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 24, 3), nn.ReLU(), nn.Conv2d(24, 32, 3, groups=2), nn.ReLU(),
        nn.Conv2d(32, 12, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 10),
    )  # fmt: skip
    return spa.analyze(net, (1, 3, 12, 12), name="net<b>")
