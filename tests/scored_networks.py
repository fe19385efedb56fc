"""Tiny networks in double precision, one coupling pattern each, with batches and a loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from spa_kernel.coupling.result import Coupling

Batches = list[tuple[torch.Tensor, torch.Tensor]]
NETWORKS: dict[str, Callable[[], nn.Module]] = {}


def network(make: Callable[[], nn.Module]) -> Callable[[], nn.Module]:
    NETWORKS[make.__name__] = make
    return make


class Block(nn.Module):
    """What is computed is added to the input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = x + self.body(x)
        return result


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.norm = nn.LayerNorm(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x.flatten(2).transpose(1, 2))
        x = self.norm(x + self.attention(x, x, x)[0])
        result: torch.Tensor = self.head(x.mean(1))
        return result


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(3, 4)
        self.a, self.b = nn.Linear(4, 5), nn.Linear(4, 5)
        self.b.weight = self.a.weight
        self.head = nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.tanh(self.embed(x.mean((2, 3))))
        x = torch.tanh(self.a(x)) @ self.a.weight
        result: torch.Tensor = self.head(torch.tanh(self.b(x)))
        return result


def head(channels: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 3)]


@network
def residual() -> nn.Module:
    block = Block(nn.Conv2d(4, 3, 3, padding=1), nn.BatchNorm2d(3), nn.Tanh(), nn.Conv2d(3, 4, 1))
    return nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), block, nn.Tanh(), *head(4))


@network
def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Tanh(), nn.Conv2d(4, 6, 3, groups=2), nn.Tanh(), *head(6)
    )


@network
def flattened() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.Tanh(), nn.Flatten(), nn.Linear(12, 4), nn.Tanh(), nn.Linear(4, 3)
    )


@network
def attending() -> nn.Module:
    return Attending()


@network
def tied() -> nn.Module:
    return Tied()


# The axes of parameters that are summed over, where a channel is read.
READ: dict[str, set[tuple[str, int]]] = {
    "residual": {(f"{n}.weight", 1) for n in ("0", "2.body.0", "2.body.3", "6")},
    "grouped": {(f"{n}.weight", 1) for n in ("0", "2", "6")},
    "flattened": {(f"{n}.weight", 1) for n in ("0", "3", "5")},
    "attending": {
        ("attention.in_proj_weight", 1),
        *((f"{n}.weight", 1) for n in ("embed", "attention.out_proj", "head")),
    },
    "tied": {("embed.weight", 1), ("a.weight", 0), ("a.weight", 1), ("head.weight", 1)},
}


def gated(name: str, coupling: Coupling, label: int) -> Iterator[tuple[str, int, np.ndarray]]:
    """Parameter, axis and a mask of indices where a coupled channel's gate stands, one by one.

    Where it is read; everywhere, for a channel that nothing reads.
    """
    found = [
        (value.name, axis, (labels == label).any(axis=1))
        for (value, axis), labels in coupling.axes.items()
        if value.kind == "parameter" and (labels == label).any()
    ]
    read = [entry for entry in found if entry[:2] in READ[name]]
    yield from read or found


def made(name: str, training: bool = False) -> nn.Module:
    """A network with weights of ordinary size, and running statistics of its own."""
    torch.manual_seed(1)
    model = NETWORKS[name]().double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn_like(p) * 0.5 + 0.1)
        for b in model.buffers():
            if b.is_floating_point():
                b.copy_(torch.rand_like(b) + 0.5)
    return model.train(training)


def batches(number: int = 3) -> Batches:
    """Batches of different sizes."""
    generator = torch.Generator().manual_seed(7)
    return [
        (
            torch.randn(n + 2, 3, 4, 4, generator=generator, dtype=torch.float64),
            torch.randint(3, (n + 2,), generator=generator),
        )
        for n in range(number)
    ]


def loss(output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return F.cross_entropy(output, targets)
