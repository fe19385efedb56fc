"""What small networks that hold one coupling pattern each are made of, and found by."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

STRUCTURES: dict[str, Callable[[], tuple[nn.Module, Any]]] = {}
IMAGE = (2, 3, 8, 8)
TOKENS = (2, 5, 12)


class Forward(nn.Module):
    """Layers by name, and a forward written as a function of (self, *inputs)."""

    def __init__(self, forward: Callable[..., Any], **layers: Any) -> None:
        super().__init__()
        self._run = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._run(self, *args, **kwargs)


def structure(shape: Any = IMAGE) -> Callable[[Callable[[], nn.Module]], Callable[[], nn.Module]]:
    """Register a network under its function's name, with a random input of this shape."""

    def register(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
        def pair() -> tuple[nn.Module, Any]:
            if isinstance(shape, dict):
                return make(), {k: torch.randn(v) for k, v in shape.items()}
            if isinstance(shape[0], tuple):
                return make(), tuple(torch.randn(s) for s in shape)
            return make(), torch.randn(shape)

        STRUCTURES[make.__name__] = pair
        return make

    return register


def conv(i: int, o: int, k: int = 3, **options: Any) -> nn.Conv2d:
    return nn.Conv2d(i, o, k, padding=k // 2, **options)


def unit(i: int, o: int, **options: Any) -> nn.Sequential:
    return nn.Sequential(conv(i, o, bias=False, **options), nn.BatchNorm2d(o), nn.ReLU())


def head(channels: int, classes: int = 4) -> nn.Sequential:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes))
