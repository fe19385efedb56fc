"""Seconds to analyse a network, side by side with Torch-Pruning, in one process.

Run as a script: ``python tests/benchmarks/bench_analysis.py [network ...]``. Both sides start
from a network that is in memory and end with all groups of coupled channels. Printed are medians;
the two sides take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))
# For the declarations that torchvision's import may need.
importlib.import_module("conftest")

import torchvision.models as models  # noqa: E402

import spa_kernel as spa  # noqa: E402

WANTED = {"resnet50": 4.0, "densenet201": 20.0}


def ours(model: nn.Module, x: torch.Tensor) -> int:
    return len(spa.analyze(model, x).groups)


def torch_pruning(model: nn.Module, x: torch.Tensor) -> int:
    import torch_pruning as tp

    graph = tp.DependencyGraph().build_dependency(model, example_inputs=x)
    return len(list(graph.get_all_groups(root_module_types=[nn.Conv2d, nn.Linear])))


def seconds(analyse: Callable[..., int], model: nn.Module, x: torch.Tensor) -> float:
    gc.collect()
    start = time.perf_counter()
    with contextlib.redirect_stdout(sys.stderr):
        analyse(model, x)
    return time.perf_counter() - start


def compare(name: str, runs: int, peer_runs: int) -> tuple[float, float, float]:
    """Seconds of our very first run, then medians of both sides after one run each."""
    options: dict[str, Any] = {"init_weights": False} if name == "googlenet" else {}
    model = getattr(models, name)(**options).eval()
    x = torch.randn(1, 3, 224, 224)
    first = seconds(ours, model, x)
    seconds(torch_pruning, model, x)
    mine, theirs = [], []
    for run in range(max(runs, peer_runs)):
        if run < runs:
            mine.append(seconds(ours, model, x))
        if run < peer_runs:
            theirs.append(seconds(torch_pruning, model, x))
    return first, statistics.median(mine), statistics.median(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(WANTED))
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--peer-runs", type=int, default=3)
    options = parser.parse_args()
    titles = "network", "first", "spa.analyze", "Torch-Pruning", "ratio", "wanted"
    row = "{:20} {:>10} {:>12} {:>14} {:>7} {:>7}"
    print(row.format(*titles))
    for name in options.networks:
        first, mine, theirs = compare(name, options.runs, options.peer_runs)
        wanted = f"{WANTED[name]:.0f}" if name in WANTED else "-"
        times = (f"{t:.3f} s" for t in (first, mine, theirs))
        print(row.format(name, *times, f"{theirs / mine:.1f}", wanted))


if __name__ == "__main__":
    main()
