"""Latency targets: what was asked for, what the plan said, and what is measured afterwards.

Run as ``python tests/benchmarks/latency.py [network ...] [--targets 1.25 1.5 2]``. Columns: the
target; the factor that the table alone foretells for the plan; the factor that the plan was
chosen for (measured on trial copies), with its standard error; the same afterwards, for the
model that was really pruned, measured anew by a loop that shares nothing with the package: by
the time that the processor works (where one thread does everything) and by the clock on the wall.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
# For the declarations that torchvision's import may need.
import conftest  # noqa: F401
import torchvision.models as models

import spa_kernel as spa
from spa_kernel.session import timed

NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {
    "resnet18": (128, {}),
    "resnet50": (128, {}),
    "mobilenet_v2": (128, {}),
    "densenet121": (128, {}),
    "vit_b_16": (64, {"image_size": 64}),
    "convnext_tiny": (128, {}),
}
ROW = "{:14} {:>6} {:>9} {:>16} {:>16} {:>16} {:>7} {:>7}"


def run(model: nn.Module, x: torch.Tensor) -> tuple[float, float]:
    """Seconds of work and seconds on the wall."""
    wall, work = time.perf_counter(), time.thread_time()
    model(x)
    return time.thread_time() - work, time.perf_counter() - wall


def measured(before: nn.Module, after: nn.Module, x: torch.Tensor, patience: float) -> np.ndarray:
    """Factor and standard error (rows), by work and by the wall (columns)."""
    ratios = []
    with torch.no_grad():
        for model in (before, after) * 3:
            run(model, x)
        end = time.perf_counter() + patience
        while time.perf_counter() < end or len(ratios) < 15:
            # One order, then the other.
            first, second, third, fourth = (run(m, x) for m in (before, after, after, before))
            ratios.append(np.add(first, fourth) / np.add(second, third))
    found = np.array(ratios)
    median = np.median(found, axis=0)
    deviation = np.median(np.abs(found - median), axis=0)
    # Standard error of a median, from the median absolute deviation.
    return np.array([median, 1.2533 * 1.4826 * deviation / len(found) ** 0.5])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(NETWORKS))
    parser.add_argument("--targets", nargs="+", type=float, default=[1.25, 1.5, 2.0])
    parser.add_argument("--patience", type=float, default=timed.PATIENCE, help="of a comparison")
    parser.add_argument("--afterwards", type=float, default=30.0, help="seconds")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    timed.PATIENCE = options.patience
    titles = "asked", "foretold", "chosen for", "after, work", "after, wall", "RF", "seconds"
    print(ROW.format("network", *titles), flush=True)
    for name in options.networks:
        size, settings = NETWORKS[name]
        for target in options.targets:
            torch.manual_seed(0)
            model = getattr(models, name)(**settings).eval()
            original, x = copy.deepcopy(model), torch.randn(1, 3, size, size)
            session, start = spa.analyze(model, x), time.perf_counter()
            plan = session.plan(latency=target)
            seconds = time.perf_counter() - start
            assert plan.latency is not None
            chosen, error = plan.latency[0] / plan.latency[1], plan.settings["latency_spread"]
            foretold = plan.settings["latency_foretold"]
            report = session.prune(plan)
            factors, errors = measured(original, model, x, options.afterwards)
            print(
                ROW.format(
                    name, target, f"{foretold:.3f}", f"{chosen:.3f} ± {chosen * error:.3f}",
                    *(f"{f:.3f} ± {e:.3f}" for f, e in zip(factors, errors, strict=True)),
                    f"{report.rf:.2f}", f"{seconds:.0f}",
                ),
                flush=True,
            )  # fmt: skip


if __name__ == "__main__":
    main()
