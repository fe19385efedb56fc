"""Accuracy of trained networks after a prune without fine-tuning: OBSPA, and what is beside it.

Run as ``python tests/benchmarks/obspa.py --network NAME --data DIR --work DIR``. DIR of ``--data``
holds ``imagenet500.zip`` (224x224 JPEG files named by class index), ``cifar10_small.npz``,
``cifar_resnet20.py`` and ``cifar_resnet20.pt``; the Fashion-MNIST pictures are those of Debian's
package dataset-fashion-mnist. Networks need the packages that ``_tasks.py`` and ``_minilm.py``
name; the comparison needs torch-pruning. DIR of ``--work`` gets results, one JSON object a line,
and weights of networks that are trained here. A run that was broken off goes on.

All rows see the same inputs and come to at least the same RF (FLOPs before / after). OBSPA gets
them without labels, or others (``ood``), or none. Taylor gets labels too. Torch-Pruning prunes with
global and with local scope, and the better of the two accuracies is shown. "+ BN" is with
BatchNorm statistics re-estimated on the calibration inputs. Of two directions (calibrate on
one half, measure on the other) the mean is shown.
"""

from __future__ import annotations

import argparse
import copy
import sys
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[2]))

import _accuracy as common
from _tasks import TASKS, Direction, Folders, Task
from torch.nn.modules.batchnorm import _BatchNorm

import spa_kernel as spa

PEER, OURS = common.PEER, common.OURS
SETTINGS = {
    "l1": ("sum", "mean", "global", 0.0),
    "l2": ("sum", "mean", "global", 0.0),
    "taylor": ("sum", "none", "global", 1.0),
}
"""Aggregation, norm, scope and weight of the cost of criteria to compare with."""

CALIBRATIONS = "data", "ood", "none"
# What says which row it is; the rest of a row is what was measured.
KEYS = "tool", "criterion", "calibration", "scope", "target", "direction", "bn"
OUTCOME = "rf", "rp", "seconds"


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


class Bench:
    """One network, and the results so far."""

    def __init__(self, task: Task, results: Path) -> None:
        self.task, self.results = task, common.Results(results, KEYS)
        self.base = common.flops(task.model, task.x), parameters(task.model)
        norms = any(isinstance(part, _BatchNorm) for part in task.model.modules())
        self.renewals = (False, True) if norms else (False,)

    def add(self, row: common.Row, model: nn.Module, direction: Direction) -> None:
        row["rf"] = self.base[0] / common.flops(model, self.task.x)
        row["rp"] = self.base[1] / parameters(model)
        self.results.add(row | direction.measure(model))

    def known(self, row: common.Row) -> bool:
        return all(self.results.known(row | {"bn": renewed}) for renewed in self.renewals)

    def compare(self, row: common.Row, model: nn.Module, direction: Direction) -> None:
        """Measure a network as it is and with BatchNorm statistics re-estimated."""
        for each in (row | {"bn": renewed} for renewed in self.renewals):
            if each["bn"]:
                spa.recalibrate(model, direction.inputs)
            if not self.results.known(each):
                self.add(each, model, direction)

    def whole(self) -> None:
        for number, direction in enumerate(self.task.directions):
            row = {"tool": "", "criterion": "not pruned", "direction": number}
            if not self.known(row):
                self.compare(row, copy.deepcopy(self.task.model), direction)

    def obspa(self, calibration: str) -> None:
        directions = list(enumerate(self.task.directions))
        # Without data of the network's own, all directions have the same inputs.
        alike = [[each] for each in directions] if calibration == "data" else [directions]
        for those, rf in product(alike, self.task.rfs):
            row = {"tool": OURS, "criterion": "obspa", "calibration": calibration}
            row |= {"target": rf, "bn": False}
            left = [(n, d) for n, d in those if not self.results.known(row | {"direction": n})]
            if not left or (calibration == "ood" and left[0][1].foreign is None):
                continue
            given: dict[str, Any] = {"calibration": calibration}
            if calibration != "none":
                one = left[0][1]
                given["data"] = one.inputs if calibration == "data" else one.foreign()
            session = spa.analyze(copy.deepcopy(self.task.model), self.task.x)
            start = time.perf_counter()
            session.prune(criterion="obspa", flops=rf, **given)
            row["seconds"] = time.perf_counter() - start
            for number, direction in left:
                self.add(row | {"direction": number}, session.model, direction)

    def ours(self, criterion: str) -> None:
        task = self.task
        for number, direction in enumerate(task.directions):
            row = {"tool": OURS, "criterion": criterion, "direction": number}
            rows = [row | {"target": rf} for rf in task.rfs]
            rows = [each for each in rows if not self.known(each)]
            if rows:
                ours = common.Ours(task.model, task.x, criterion, direction.small, loss=task.loss)
            for each in rows:
                plan = ours.plan(*SETTINGS[criterion], each["target"])
                self.compare(each, ours.pruned(plan), direction)

    def peer(self, criterion: str) -> None:
        task = self.task
        for number, direction in enumerate(task.directions):
            row = {"tool": PEER, "criterion": criterion, "direction": number}
            rows = [
                row | {"target": rf, "scope": scope}
                for rf, scope in product(task.rfs, ("global", "local"))
            ]
            rows = [each for each in rows if not self.known(each)]
            if rows:
                given = common.gradients(task.model, direction.small, task.loss)
            for each in rows:
                settings = task.model, task.x, criterion, given, each["scope"]
                model = common.peer_at(each["target"], *settings, last=task.last)
                self.compare(each, model, direction)


def shown(rows: list[common.Row], what: str) -> float | None:
    """Mean over directions, each with the better scope."""
    best: dict[int, float] = {}
    for row in rows:
        best[row["direction"]] = max(best.get(row["direction"], -np.inf), row[what])
    return float(np.mean(list(best.values()))) if best else None


def page(results: common.Results, rfs: tuple[float, ...]) -> str:
    """Accuracy in per cent; of OBSPA also how long a prune takes, in seconds."""
    base = results.find(tool="")
    measured = [name for name in base[0] if name not in (*KEYS, *OUTCOME)]
    columns = list(product(rfs, measured))
    titles = [f"RF {rf:g}" + (f", {what}" if len(measured) > 1 else "") for rf, what in columns]
    lines = ["Not pruned:"]
    for renewed, what in product(sorted({row["bn"] for row in base}), measured):
        value = shown([row for row in base if row["bn"] == renewed], what) or 0.0
        lines.append(f"* {what}{' + BN' if renewed else ''}: {100 * value:.1f}")
    lines += ["", "| criterion | " + " | ".join([*titles, "seconds"]) + " |"]
    lines.append("|---" * (len(columns) + 2) + "|")
    names = "tool", "criterion", "calibration", "bn"
    kinds = dict.fromkeys(tuple(row.get(n) for n in names) for row in results.rows if row["tool"])
    for kind in sorted(kinds, key=lambda kind: (kind[0] == PEER, kind[1] != "obspa")):
        rows = results.find(**dict(zip(names, kind, strict=True)))
        tool, criterion, calibration, renewed = kind
        line = [criterion + (f", {calibration}" if calibration else "")]
        line[0] += (" + BN" if renewed else "") + (f", {PEER}" if tool == PEER else "")
        for rf, what in columns:
            value = shown([row for row in rows if row["target"] == rf], what)
            line.append("" if value is None else f"{100 * value:.1f}")
        seconds = [row["seconds"] for row in rows if "seconds" in row]
        line.append(f"{np.mean(seconds):.0f}" if seconds else "")
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", choices=TASKS, required=True)
    parser.add_argument("--data", type=Path, required=True, help="folder with pictures")
    parser.add_argument("--fashion", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--work", type=Path, required=True, help="folder for results and weights")
    parser.add_argument("--calibrations", nargs="*", default=CALIBRATIONS, choices=CALIBRATIONS)
    parser.add_argument("--criteria", nargs="*", default=list(SETTINGS), choices=SETTINGS)
    parser.add_argument("--peer", nargs="*", default=["magnitude", "taylor"])
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    task = TASKS[options.network](Folders(options.data, options.fashion, options.work))
    bench = Bench(task, options.work / f"obspa_{options.network}.jsonl")
    bench.whole()
    for calibration in options.calibrations:
        bench.obspa(calibration)
    for criterion in options.criteria:
        bench.ours(criterion)
    for criterion in options.peer:
        bench.peer(criterion)
    print(page(bench.results, task.rfs))


if __name__ == "__main__":
    main()
