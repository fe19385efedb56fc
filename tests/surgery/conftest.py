"""One network, analysed."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from trained_network import Net

import spa_kernel as spa


@pytest.fixture
def model() -> nn.Module:
    torch.manual_seed(0)
    return Net()


@pytest.fixture
def session(model: nn.Module) -> spa.Session:
    return spa.analyze(model, (2, 3, 8, 8))
