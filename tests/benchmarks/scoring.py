"""What a score costs, next to the plain backward passes that it needs, in one process.

Run as a script: ``python tests/benchmarks/scoring.py [--runs 5] [--batches 4] [--batch 8]``. Both
sides start from the same analysed network and the same batches; the plain loop ends with the
mean gradient (or Hessian-gradient product) of every parameter, the other with one score per
coupled channel. Printed are medians; the two sides take turns, so that a busy machine slows both.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))
# For the declarations that torchvision's import may need.
importlib.import_module("conftest")

import torchvision.models as models  # noqa: E402

import spa_kernel as spa  # noqa: E402

Data = list[tuple[torch.Tensor, torch.Tensor]]
Clock = Callable[[], float]

SIZE = 96
MOST = 1.3
"""How many times the plain passes a gradient criterion may cost."""
SECONDS = 0.5
"""How long a weight criterion may take on ResNet-50."""


def first_order(model: nn.Module, data: Data) -> None:
    """Gradients add up in ``grad``, as in any training loop."""
    for x, y in data:
        F.cross_entropy(model(x), y).backward()
    model.zero_grad(set_to_none=True)


def second_order(model: nn.Module, data: Data) -> None:
    """The gradient of all batches, then the Hessian's product with it, batch by batch."""
    parameters = list(model.parameters())
    for x, y in data if len(data) > 1 else []:
        F.cross_entropy(model(x), y).backward()
    whole = [p.grad for p in parameters]
    model.zero_grad(set_to_none=True)
    for x, y in data:
        found = torch.autograd.grad(F.cross_entropy(model(x), y), parameters, create_graph=True)
        constant = whole if len(data) > 1 else [g.detach() for g in found]
        sum((v * g).sum() for v, g in zip(constant, found, strict=True)).backward()
    model.zero_grad(set_to_none=True)


PLAIN: dict[str, Callable[[nn.Module, Data], None]] = {
    "snip": first_order,
    "taylor": first_order,
    "obd": first_order,
    "grasp": second_order,
    "crop": second_order,
}


CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def seconds(run: Callable[[], object], clock: Clock) -> float:
    gc.collect()
    start = clock()
    run()
    return clock() - start


def compare(
    session: spa.Session, criterion: str, data: Data, runs: int, clock: Clock
) -> tuple[list[float], list[float]]:
    """Seconds of the plain passes and of the scores, after one run each."""
    plain, ours = [], []
    for _ in range(runs + 1):
        plain.append(seconds(lambda: PLAIN[criterion](session.model, data), clock))
        ours.append(seconds(lambda: session.importance(criterion, data, F.cross_entropy), clock))
    return plain[1:], ours[1:]


def weights_alone(session: spa.Session, criterion: str, runs: int, clock: Clock) -> list[float]:
    """Seconds of a criterion that needs no data, after one run."""
    session.importance(criterion)
    return [seconds(lambda: session.importance(criterion), clock) for _ in range(runs)]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="*", default=["resnet50", "mobilenet_v2"])
    parser.add_argument("--criteria", nargs="*", default=list(PLAIN))
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batches", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="for a busy machine")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    asked = parser.parse_args()
    clock = CLOCKS[asked.clock]
    torch.set_num_threads(asked.threads)
    print(f"{asked.batches} batches of {asked.batch} x 3 x {SIZE} x {SIZE}, in training mode")
    print(f"{'network':14} {'criterion':10} {'plain s':>8} {'score s':>8} {'ratio':>6}")
    failed = False
    for name in asked.networks:
        torch.manual_seed(0)
        model = getattr(models, name)().train()
        session = spa.analyze(model, (1, 3, SIZE, SIZE))
        data = [
            (torch.randn(asked.batch, 3, SIZE, SIZE), torch.randint(1000, (asked.batch,)))
            for _ in range(asked.batches)
        ]
        for criterion in asked.criteria:
            both = compare(session, criterion, data, asked.runs, clock)
            plain, ours = map(statistics.median, both)
            failed |= ours > MOST * plain
            print(
                f"{name:14} {criterion:10} {plain:8.2f} {ours:8.2f} {ours / plain:6.2f}", flush=True
            )
        for criterion, known in spa.criteria().items():
            if known.asks == "nothing":
                took = statistics.median(weights_alone(session, criterion, asked.runs, clock))
                failed |= name == "resnet50" and not known.needs and took > SECONDS
                print(f"{name:14} {criterion:10} {'':8} {took:8.2f}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
