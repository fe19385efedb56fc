"""Small networks of many structures, and what goes with a channel, found by plain loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from reference import ordinary
from torch import nn

import spa_kernel as spa
from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.graph.ir import Graph, Value

Weights = dict[str, np.ndarray]


def synthetic(seed: int = 0) -> tuple[Coupling, Weights]:
    """Two groups; a convolution, an axis of two labels per index, a vector, and a buffer."""
    rng = np.random.default_rng(seed)
    a, b = np.arange(1, 5), np.arange(5, 8)
    pairs = np.stack([np.repeat(a, 3), np.tile(b, 4)], axis=1)
    shapes = {
        "conv.weight": ((4, 3, 3, 3), {0: a[:, None], 1: b[:, None]}),
        "conv.bias": ((4,), {0: a[:, None]}),
        "head.weight": ((5, 12), {1: pairs}),
        "twice.weight": ((4, 2), {0: np.stack([a, a], axis=1)}),
        "norm.mean": ((4,), {0: a[:, None]}),
        "free.weight": ((4, 4), {}),
    }
    coupling = Coupling(Graph(), {}, 8, np.arange(8) == 0, {0: "fixed"})
    weights: Weights = {}
    for name, (shape, axes) in shapes.items():
        value = Value(name, shape, "buffer" if "mean" in name else "parameter")
        coupling.graph.stored[name] = value
        for axis, labels in axes.items():
            coupling.axes[value, axis] = labels
        weights[name] = rng.standard_normal(shape).astype(np.float32)
    members = {
        "g1": ["conv.weight", "conv.bias", "norm.mean", "head.weight", "twice.weight"],
        "g2": ["conv.weight", "head.weight"],
    }
    axis = {("g1", "head.weight"): 1, ("g2", "head.weight"): 1, ("g2", "conv.weight"): 1}
    touched = {g: [(n, axis.get((g, n), 0)) for n in names] for g, names in members.items()}
    coupling.groups = [
        Group("g1", "conv", a, touched["g1"]),
        Group("g2", "stem", b[::-1].copy(), touched["g2"], False, "frozen"),
    ]
    return coupling, weights


class Residual(nn.Module):
    """Two branches are added: their channels are coupled."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.branch, self.norm2 = nn.Conv2d(6, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)).relu()
        x = (x + self.norm2(self.branch(x))).relu()
        out: torch.Tensor = self.head(x.mean(dim=(2, 3)))
        return out


class Heads(nn.Module):
    """An index of the merged axis goes if its head goes or its head dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        mixed = (q @ k.transpose(-1, -2) / 2).softmax(dim=-1) @ v
        out: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out


def grouped() -> nn.Module:
    """A grouped and a depthwise convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(),
        nn.Conv2d(8, 12, 3, groups=2), nn.BatchNorm2d(12), nn.ReLU(),
        nn.Conv2d(12, 12, 3, groups=12), nn.ReLU(),
        nn.Conv2d(12, 4, 1), nn.Flatten(2),
    )  # fmt: skip


def flattened() -> nn.Module:
    """Each channel is several columns of the linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.Flatten(), nn.BatchNorm1d(80), nn.ReLU(), nn.Linear(80, 7),
        nn.ReLU(), nn.Linear(7, 2),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "residual": (Residual, (1, 3, 8, 8)),
    "grouped": (grouped, (1, 3, 8, 8)),
    "flattened": (flattened, (1, 3, 6, 6)),
    "heads": (Heads, (1, 5, 8)),
}


def analysed(name: str) -> tuple[spa.Session, Weights]:
    """A session of one of the networks, with weights of ordinary size, and its parameters."""
    build, shape = NETWORKS[name]
    torch.manual_seed(0)
    model = ordinary(build())
    return spa.analyze(model, shape), {n: p.detach().numpy() for n, p in model.named_parameters()}


def slices(
    coupling: Coupling, weights: Weights, group: Group, label: int
) -> Iterator[tuple[str, np.ndarray]]:
    """What goes with a channel, one parameter and axis at a time, flattened, in float64."""
    for name, axis in group.members:
        value = coupling.graph.stored[name]
        if value.kind == "parameter":
            rows = [i for i, row in enumerate(coupling.axes[value, axis]) if label in row]
            found = [np.take(weights[name], i, axis=axis).ravel() for i in rows]
            yield name, np.concatenate(found).astype(np.float64)
