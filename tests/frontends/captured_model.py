"""Two layers around something that a test adds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

HALF: dict[str, Any] = {"ratio": 0.5, "scope": "local"}


class Model(nn.Module):
    """Two layers around something that a test adds."""

    def __init__(self, middle: Callable[..., Any] | None = None, **more: Any) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3, padding=1)
        self.head = nn.Linear(6, 4)
        self.middle = middle
        for name, value in more.items():
            if type(value) is torch.Tensor:
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x))
        if self.middle is not None:
            x = self.middle(self, x)
        result: torch.Tensor = self.head(F.relu(self.second(x)).mean((2, 3)))
        return result


SHAPE = (2, 3, 6, 6)
