"""How the time of an analysis grows with the network: about as the number of operators should.

Run as ``python tests/benchmarks/growth.py [kind ...] [--most 5000]``. For each kind of network it
prints operators, seconds, and microseconds per operator, and at the end the exponent of the power
law that fits the larger half of the times best (1 is linear). The best of a few runs counts.
"""

from __future__ import annotations

import argparse
import gc
import math
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import spa_kernel as spa

Network = tuple[nn.Module, Any]
KINDS: dict[str, tuple[Callable[[int], Network], float]] = {}
"""By name: a network of so many blocks, and about how many operators a block has."""

LARGEST = {"one dense stage": 1000}
"""Of networks that grow faster than their operators: 250 layers join 32,000 operands."""


def kind(name: str, operators: float) -> Callable[[Callable[[int], Network]], Any]:
    def register(make: Callable[[int], Network]) -> Callable[[int], Network]:
        KINDS[name] = make, operators
        return make

    return register


class Branch(nn.Module):
    """Something added to its input."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.layers(x)
        return out


@kind("plain convolutions", 3)
def plain(blocks: int) -> Network:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1)]
    for _ in range(blocks):
        layers += [nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 4, 1)), (1, 3, 8, 8)


@kind("residual convolutions", 6)
def residual(blocks: int) -> Network:
    layers: list[nn.Module] = [nn.Conv2d(3, 8, 3, padding=1)]
    for _ in range(blocks):
        layers.append(
            Branch(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
                   nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8))
        )  # fmt: skip
    return nn.Sequential(*layers, nn.Conv2d(8, 4, 1)), (1, 3, 8, 8)


class Dense(nn.Module):
    """Every layer gets all that was made before it (in stages, as in a DenseNet)."""

    def __init__(self, count: int, growth: int = 4) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(nn.BatchNorm2d(8 + i * growth), nn.ReLU(),
                          nn.Conv2d(8 + i * growth, growth, 3, padding=1))
            for i in range(count)
        )  # fmt: skip
        self.transition = nn.Conv2d(8 + count * growth, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = [x]
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1)))
        out: torch.Tensor = self.transition(torch.cat(found, 1))
        return out


@kind("dense stages", 66)
def dense(blocks: int) -> Network:
    """A block is a stage of 16 layers."""
    stages = [Dense(16) for _ in range(blocks)]
    return nn.Sequential(nn.Conv2d(3, 8, 1), *stages, nn.Conv2d(8, 4, 1)), (1, 3, 8, 8)


@kind("one dense stage", 4)
def one_stage(blocks: int) -> Network:
    """Concats that get ever longer: the number of indices grows with the square."""
    layers = nn.Conv2d(3, 8, 1), Dense(blocks, growth=1), nn.Conv2d(8, 4, 1)
    return nn.Sequential(*layers), (1, 3, 8, 8)


@kind("transformer blocks", 48)
def transformer(blocks: int) -> Network:
    layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
    layers: list[nn.Module] = [nn.Linear(8, 32)]
    layers.append(nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False))
    return nn.Sequential(*layers, nn.Linear(32, 8)), (1, 16, 8)


class Mixture(nn.Module):
    """All experts, weighed."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.gate = nn.Linear(8, count)
        self.experts = nn.ModuleList(
            nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 8)) for _ in range(count)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights = self.gate(x).softmax(-1)
        for i, expert in enumerate(self.experts):
            x = x + weights[..., i : i + 1] * expert(x)
        return x


@kind("one mixture of experts", 12)
def experts(blocks: int) -> Network:
    """A block is one more expert."""
    return nn.Sequential(nn.Linear(4, 8), Mixture(blocks), nn.Linear(8, 4)), (2, 5, 4)


@kind("mixtures of experts", 100)
def mixtures(blocks: int) -> Network:
    """A block is a layer of eight experts."""
    layers = [Mixture(8) for _ in range(blocks)]
    return nn.Sequential(nn.Linear(4, 8), *layers, nn.Linear(8, 4)), (2, 5, 4)


class Shuffled(nn.Module):
    """Channels are halved, one half is convolved, both are joined and shuffled."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, 1)
        y = torch.cat([a, self.layers(b)], 1)
        n, c, h, w = y.shape
        return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


@kind("shuffled halves", 8)
def shuffled(blocks: int) -> Network:
    layers = [Shuffled() for _ in range(blocks)]
    return nn.Sequential(nn.Conv2d(3, 16, 1), *layers, nn.Conv2d(16, 4, 1)), (1, 3, 8, 8)


@kind("recurrent layers", 3)
def recurrent(blocks: int) -> Network:
    class Chain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = nn.ModuleList(nn.GRU(8, 8, batch_first=True) for _ in range(blocks))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            for layer in self.layers:
                x = x + layer(x)[0]
            return x

    return nn.Sequential(nn.Linear(4, 8), Chain(), nn.Linear(8, 4)), (1, 5, 4)


def timed(make: Callable[[int], Network], blocks: int, runs: int) -> tuple[int, float]:
    """Operators of the network, and seconds of the fastest analysis."""
    model, inputs = make(blocks)
    best, count = math.inf, 0
    for _ in range(runs):
        gc.collect()
        start = time.perf_counter()
        session = spa.analyze(model.eval(), inputs)
        assert session.groups
        best = min(best, time.perf_counter() - start)
        count = len(session.analysis.graph.nodes)
        if best > 2:
            break
    return count, best


def curve(name: str, most: int, runs: int = 3) -> Iterator[tuple[int, float]]:
    """Operators and seconds, from about 10 operators to ``most``."""
    make, operators = KINDS[name]
    most = min(most, LARGEST.get(name, most))
    sizes = np.unique(np.geomspace(10, most, 9).astype(int) // max(1, round(operators)))
    for blocks in sizes[sizes > 0]:
        yield timed(make, int(blocks), runs)


def exponent(points: list[tuple[int, float]]) -> float:
    """Of the power law through the larger half."""
    operators, seconds = np.log(np.array(points[len(points) // 2 - 1 :], dtype=float)).T
    return float(np.polyfit(operators, seconds, 1)[0])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", default=list(KINDS))
    parser.add_argument("--most", type=int, default=5000, help="operators of the largest network")
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    timed(plain, 2, 1)
    row = "{:24} {:>10} {:>9} {:>14}"
    print(row.format("network", "operators", "seconds", "us / operator"))
    slowest = 0.0
    for name in options.kinds:
        points = []
        for count, seconds in curve(name, options.most, options.runs):
            points.append((count, seconds))
            each = f"{1e6 * seconds / count:.0f}"
            print(row.format(name, count, f"{seconds:.3f}", each), flush=True)
            slowest = max(slowest, seconds)
        print(f"{name}: time grows as operators to the power of {exponent(points):.2f}")
    print(f"longest analysis {slowest:.1f} s")
    return int(slowest > 10)


if __name__ == "__main__":
    sys.exit(main())
