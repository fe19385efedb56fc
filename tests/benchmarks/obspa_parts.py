"""What each part of OBSPA is worth: the accuracy of one network without it.

Run as ``python tests/benchmarks/obspa_parts.py --network NAME --data DIR --work DIR``, with folders
as for ``obspa.py``. In each row one part is taken away by replacing a function of the package, and
all else is as it is; the first direction of the network is used.
"""

from __future__ import annotations

import argparse
import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import _accuracy as common
from _tasks import TASKS, Direction, Folders, Task

import spa_kernel as spa
from spa_kernel.frontends.torch import synthetic as made
from spa_kernel.obspa import costs, greedy, reconstruct
from spa_kernel.obspa.products import NONE, column_labels
from spa_kernel.obspa.reconstruct import Reconstruction
from spa_kernel.products.uses import Use

Parts = list[Any]
"""What replaces functions of the package."""


def single_columns(self: greedy.Reader) -> torch.Tensor:
    """Of each channel alone, its columns without regard to each other."""
    alone = self.gram.diagonal() / self.inverse.diagonal()
    return alone.reshape(len(self.channels), -1).sum(1)


def at_once(readers: list[greedy.Reader], size: int) -> np.ndarray:
    """Costs while all other channels are there."""
    return greedy.total(readers, size).cpu().numpy()


class Symmetric:
    """Inputs of the dense network in place of those of the pruned one, and no correction."""

    def __init__(self) -> None:
        self.dense: Use | None = None
        self.work: Reconstruction | None = None
        self.solve, self.use_of = Reconstruction._solve, reconstruct.use_of

    def solved(self, work: Reconstruction, layer: reconstruct.Layer) -> bool:
        self.work = work
        labels = column_labels(layer.product, work.coupling)
        self.gone = (work.removed[labels] & (labels != NONE)).any(2)
        return self.solve(work, layer)

    def used(self, program: Any, state: Any, product: Any) -> Use | None:
        found = self.use_of(program, state, product)
        assert self.work is not None
        if program is self.work.dense:
            self.dense = found
            return found
        dense, kept = self.dense, torch.from_numpy(~self.gone)
        if found is None or dense is None or dense.shape[2] != found.shape[2]:
            return found

        def pieces(y: torch.Tensor | None, most: int | None) -> Iterator[Any]:
            assert dense is not None and found is not None
            # Blocks that have gone as a whole have no columns left.
            blocks = kept.any(1)
            for x, beside in dense.pieces(y, most):
                rows = x[blocks.to(x.device)][kept[blocks].to(x.device)]
                yield rows.reshape(found.shape[0], found.shape[1], -1), beside

        return replace(found, pieces=pieces)

    def parts(self) -> Parts:
        return [
            patch.object(Reconstruction, "_solve", lambda work, layer: self.solved(work, layer)),
            patch.object(reconstruct, "use_of", self.used),
            *uncorrected(),
        ]


def uncorrected() -> Parts:
    return [patch.object(Reconstruction, "_lacking", lambda *_: None)]


def white(rng: np.random.Generator, count: int, channels: int, space: Any) -> np.ndarray:
    return rng.standard_normal((count, channels, *space)).astype(np.float32)


def no_norms() -> Parts:
    return [patch.object(Reconstruction, "_renew", lambda *_: None)]


def undistilled() -> Parts:
    return [patch.object(made, "has_statistics", lambda _: False)]


WAYS: dict[str, tuple[Callable[[], Parts], dict[str, Any]]] = {
    "all": (list, {}),
    "columns of a channel one by one": (
        lambda: [patch.object(greedy.Reader, "costs", single_columns)], {}),
    "costs while all others are there": (
        lambda: [patch.object(costs, "removal_costs", at_once)], {}),
    "costs of groups as foretold": (
        lambda: [patch.object(costs, "measured", lambda *_: {})], {}),
    "inputs of the dense network (symmetric)": (lambda: Symmetric().parts(), {}),
    "no correction of the stream": (uncorrected, {}),
    "no new weights": (list, {"reconstruct": False}),
    "no new weights, BatchNorm re-estimated": (list, {"reconstruct": False, "bn": True}),
    "BatchNorm left alone": (no_norms, {}),
    "BatchNorm re-estimated": (no_norms, {"bn": True}),
    "other data": (list, {"calibration": "ood"}),
    "no data": (list, {"calibration": "none"}),
    "no data, shapes and noise as drawn": (undistilled, {"calibration": "none"}),
    "no data, white noise as drawn": (
        lambda: [*undistilled(), patch.object(made, "pictures", white)], {"calibration": "none"}),
}  # fmt: skip


def accuracy(task: Task, direction: Direction, rf: float, parts: Parts, **settings: Any) -> float:
    """Without the parts that are replaced."""
    renewed = settings.pop("bn", False)
    kind = settings.setdefault("calibration", "data")
    data = {"data": direction.inputs, "ood": direction.foreign}.get(kind)
    session = spa.analyze(copy.deepcopy(task.model), task.x)
    with ExitStack() as stack:
        for part in parts:
            stack.enter_context(part)
        session.prune(criterion="obspa", flops=rf, data=data() if callable(data) else data,
                      **settings)  # fmt: skip
    if renewed:
        spa.recalibrate(session.model, direction.inputs)
    (found,) = direction.measure(session.model).values()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=TASKS, default="resnet20")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), choices=WAYS)
    parser.add_argument("--rfs", type=float, nargs="*", help="the highest of the network, if none")
    options = parser.parse_args()
    task = TASKS[options.network](Folders(options.data, options.fashion, options.work))
    results = common.Results(options.work / f"parts_{options.network}.jsonl", ("way", "target"))
    rfs = options.rfs or task.rfs[-1:]
    print("| | " + " | ".join(f"RF {rf:g}" for rf in rfs) + " |")
    print("|---" * (1 + len(rfs)) + "|")
    for way in options.ways:
        parts, settings = WAYS[way]
        for rf in rfs:
            if not results.known({"way": way, "target": rf}):
                measure = partial(accuracy, task, task.directions[0], rf, parts())
                results.add({"way": way, "target": rf, "top1": measure(**settings)})
        found = [results.find(way=way, target=rf)[0]["top1"] for rf in rfs]
        print(f"| {way} | " + " | ".join(f"{100 * value:.1f}" for value in found) + " |")


if __name__ == "__main__":
    main()
