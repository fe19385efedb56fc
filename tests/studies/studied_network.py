"""A network to study, and functions that other processes can import."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from onnx import ModelProto
from torch import nn

SHAPE = (2, 3, 8, 8)
EXAMPLE = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))


class Net(nn.Module):
    """A residual block, and two halves of a layer that lose equally many."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Conv2d(8, 12, 3, padding=1)
        self.outer = nn.Conv2d(12, 8, 1)
        self.both = nn.Linear(8, 20)
        self.left = nn.Linear(10, 4)
        self.right = nn.Linear(10, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.norm(self.stem(x)))
        x = (x + self.outer(F.relu(self.inner(x)))).mean((2, 3))
        a, b = F.relu(self.both(x)).chunk(2, 1)
        result: torch.Tensor = self.left(a) + self.right(b)
        return result


def score(model: nn.Module) -> float:
    """A number that every weight has a part in; the model is left as it is."""
    with torch.no_grad():
        return float(model(EXAMPLE).abs().sum())


def disturbing(model: nn.Module) -> float:
    """The same from somebody who leaves nothing as it was."""
    value = score(model.eval())
    model.train()
    model(EXAMPLE).sum().backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.requires_grad_(False).add_(1.0)
    return value


def moving(model: nn.Module) -> float:
    """The same from somebody who needs the model in another type."""
    value = score(model)
    model.double()
    return value


def trained(model: nn.Module) -> None:
    """A step downhill."""
    F.cross_entropy(model(EXAMPLE), torch.tensor([0, 1])).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 0.1 * parameter.grad


def numbers(model: ModelProto) -> float:
    """How many numbers an ONNX model holds, in single precision."""
    return float(sum(len(t.raw_data) for t in model.graph.initializer) / 4)
