"""Accuracy of a small ResNet-20 on Fashion-MNIST: criteria, RF and time of the prune.

Run as ``python tests/benchmarks/fashion.py --work FOLDER [--processes 2]``. Needs the pictures of
Debian's package dataset-fashion-mnist, and torch-pruning.

FOLDER gets the trained network (first, 10 epochs) and the results, one JSON object a line; a run
that was broken off goes on. What is measured, for RF 2, 4 and 8:

* after: the trained network is pruned, and that is all ("+ BN": then BatchNorm statistics are
  re-estimated);
* tuned: the trained network is pruned, then trained for one epoch;
* before: a network fresh from its initialisation is pruned, then trained for one epoch.

"after" tries many settings (aggregation, norm, scope, weight of the cost) of each criterion;
"tuned" goes on with those that do best with BatchNorm re-estimated, "before" with one.
Torch-Pruning gets the same weights, batches
and schedules, and always all of its scopes. Of all settings that were tried, the one that does
best on 5,000 pictures held out of the training set is shown, with its accuracy on the 10,000 test
pictures; for both tools alike.

On a machine where memory is slow to get, MALLOC_MMAP_THRESHOLD_=4000000000 and
MALLOC_TRIM_THRESHOLD_=8000000000 in the environment make it up to three times as fast.
"""

from __future__ import annotations

import argparse
import gzip
import math
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import pairwise, product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, str(Path(__file__).parents[2]))

import _accuracy as common

import spa_kernel as spa

MEASURED = "held_out", "test", "renewed", "renewed_test"
PEER, OURS = common.PEER, common.OURS
PHASES = {"before": 1, "tuned": 1, "after": 0}
"""Epochs of training after the prune."""

RFS = 2.0, 4.0, 8.0
Settings = tuple[str, str, str, float]
"""Aggregation, norm, scope, weight of the cost."""
Tries = dict[float, list[Settings]]

SCOPES = ("global", 0.0), ("global", 1.0), ("isomorphic", 0.0), ("local", 0.0)
"""Scopes of ours, and the weight of the cost in each."""
BATCH = 128
HELD_OUT = 5000
# What says which row it is; the rest of a row is what was measured.
KEYS = "phase", "tool", "criterion", "agg", "norm", "scope", "cost", "target", "seed"
# How a row is chosen, and what is then shown, for each kind of column.
COLUMNS = {
    "before": ("before", "held_out", "test"),
    "tuned": ("tuned", "held_out", "test"),
    "after": ("after", "held_out", "test"),
    "after + BN": ("after", "renewed", "renewed_test"),
}


class Block(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        stride = 1 if inputs == outputs else 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.short = nn.Sequential()
        if stride > 1:
            self.short = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.short(x))


def network(seed: int = 0) -> nn.Sequential:
    """ResNet-20 for 28x28 pictures; the first convolution halves them (14, 7, 4)."""
    torch.manual_seed(seed)
    widths = [16] * 4 + [32] * 3 + [64] * 3
    blocks = [Block(a, b) for a, b in pairwise(widths)]
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


@dataclass
class Pictures:
    """Normalised pictures (n, 1, 28, 28) and their classes."""

    x: torch.Tensor
    y: torch.Tensor

    @classmethod
    def read(cls, folder: Path, name: str) -> Pictures:
        """One part of the data set from its IDX files (16 and 8 bytes of header)."""
        x, y = (
            np.frombuffer(gzip.decompress((folder / f"{name}-{kind}-ubyte.gz").read_bytes()), "u1")
            for kind in ("images-idx3", "labels-idx1")
        )
        x = torch.from_numpy(x[16:].reshape(-1, 1, 28, 28).copy())
        return cls((x / 255 - 0.286) / 0.353, torch.from_numpy(y[8:].astype("i8")))

    def __getitem__(self, part: slice) -> Pictures:
        return Pictures(self.x[part], self.y[part])

    def batches(self, size: int = 250) -> list[tuple[torch.Tensor, torch.Tensor]]:
        return list(zip(self.x.split(size), self.y.split(size), strict=True))

    def shuffled(self, generator: torch.Generator) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """One epoch: pictures in random order, mirrored at random, moved by up to 2 pixels."""
        for rows in torch.randperm(len(self.y), generator=generator).split(BATCH):
            x = self.x[rows]
            mirrored = torch.rand(len(rows), generator=generator) < 0.5
            x = torch.where(mirrored[:, None, None, None], x.flip(3), x)
            shift = torch.randint(-2, 3, (2,), generator=generator).tolist()
            yield x.roll(shift, (2, 3)), self.y[rows]


def train(model: nn.Module, pictures: Pictures, epochs: int, lr: float, seed: int = 0) -> None:
    """SGD with momentum; the learning rate goes up and down once (one cycle)."""
    model.to(memory_format=torch.channels_last)
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(model.parameters(), lr, 0.9, weight_decay=5e-4, nesterov=True)
    steps = epochs * -(-len(pictures.y) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, lr, steps, pct_start=0.2)
    model.train()
    for _ in range(epochs):
        for x, y in pictures.shuffled(generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
            schedule.step()
    model.eval()


class Bench:
    """The data, the two networks, and the results so far."""

    def __init__(self, folder: Path, work: Path, share: float = 1.0) -> None:
        every = Pictures.read(folder, "train")
        self.train = every[: int(share * (len(every.y) - HELD_OUT))]
        self.held_out = every[-HELD_OUT:].batches()
        self.test = Pictures.read(folder, "t10k").batches()
        self.results = common.Results(work / "fashion.jsonl", KEYS)
        self.x = torch.zeros(1, 1, 28, 28)
        self.weights = work / "fashion.pt"
        # Gradients of small batches say more than their means over large ones, but before a
        # training BatchNorm goes by the statistics of the batch.
        self.score = {
            phase: self.train[:1280].batches(BATCH if phase == "before" else 8) for phase in PHASES
        }

    def start(self, phase: str) -> nn.Module:
        """The network that is to be pruned: fresh and in train mode, or trained."""
        model = network()
        if phase == "before":
            return model
        if not self.weights.exists():
            train(model, self.train, 10, 0.15)
            torch.save(model.state_dict(), self.weights)
        model.load_state_dict(torch.load(self.weights, weights_only=True))
        return model.eval()

    def measured(self, row: common.Row, model: nn.Module) -> None:
        """Train as the row's phase does; accuracy on the pictures held out and on the test set.

        Of networks that are not trained only those are tested that are the best so far.
        """
        phase = row["phase"]
        if PHASES[phase]:
            train(model, self.train, PHASES[phase], 0.15 if phase == "before" else 0.05)
        self.look(row, model, "held_out", "test")
        if phase == "after":
            spa.recalibrate(model, self.train[:2560].batches(BATCH))
            self.look(row, model, "renewed", "renewed_test")

    def look(self, row: common.Row, model: nn.Module, chosen_by: str, shown: str) -> None:
        row[chosen_by] = common.correct(model, self.held_out)
        same = "phase", "tool", "criterion", "target", "seed"
        rivals = self.results.find(**{name: row[name] for name in same})
        if PHASES[row["phase"]] or row[chosen_by] > max((r[chosen_by] for r in rivals), default=0):
            row[shown] = common.correct(model, self.test)

    def ours(self, phase: str, criterion: str, tries: Tries, seed: int = 0) -> None:
        wanted = [
            {"phase": phase, "tool": OURS, "criterion": criterion, "agg": agg, "norm": norm,
             "scope": scope, "cost": cost, "target": rf, "seed": seed}
            for rf, each in tries.items()
            for agg, norm, scope, cost in each
        ]  # fmt: skip
        wanted = [row for row in wanted if not self.results.known(row)]
        if not wanted:
            return
        model = self.start(phase)
        ours = common.Ours(model, self.x, criterion, self.score[phase], seed)
        for row in wanted:
            plan = ours.plan(row["agg"], row["norm"], row["scope"], row["cost"], row["target"])
            row |= {"rf": plan.flops[0] / plan.flops[1], "mask": common.digest(plan)}
            same = self.results.find(phase=phase, criterion=criterion, mask=row["mask"], seed=seed)
            if same:
                row |= {name: same[0][name] for name in MEASURED if name in same[0]}
            else:
                self.measured(row, ours.pruned(plan))
            self.results.add(row)

    def peer(self, phase: str, criterion: str, scopes: list[str]) -> None:
        model = self.start(phase)
        given = common.gradients(model, self.score[phase])
        for rf, scope in product(RFS, scopes):
            row = {"phase": phase, "tool": PEER, "criterion": criterion, "scope": scope}
            row |= {"target": rf, "seed": 0}
            if not self.results.known(row):
                small = common.peer_at(rf, model, self.x, criterion, given, scope)
                row["rf"] = common.flops(model, self.x) / common.flops(small, self.x)
                self.measured(row, small)
                self.results.add(row)

    def settings(self, options: argparse.Namespace, criterion: str, phase: str) -> Tries:
        """What of ours to try, for each RF."""
        tries: Tries = {}
        for rf in RFS:
            if criterion == "random":
                tries[rf] = [("mean", "none", "local", 0.0)]
            elif phase == "before":
                per_element = spa.criteria()[criterion].per == "element"
                tries[rf] = [("sum", "none" if per_element else "mean", "global", 0.0)]
            elif phase == "tuned":
                rows = self.results.find(phase="after", criterion=criterion, target=rf, tool=OURS)
                rows.sort(key=lambda row: -row["renewed"])
                # The first of those that come to the same choice of channels.
                distinct = {row["mask"]: row for row in reversed(rows)}
                best = sorted(distinct.values(), key=rows.index)[: options.tries]
                tries[rf] = [(r["agg"], r["norm"], r["scope"], r["cost"]) for r in best]
            else:
                # Criteria that score channels have nothing to aggregate.
                aggs = options.aggs[: None if spa.criteria()[criterion].per == "element" else 1]
                tries[rf] = [(a, n, *s) for a, n, s in product(aggs, options.norms, SCOPES)]
        return tries


def job(options: argparse.Namespace, phase: str, tool: str, criterion: str, seed: int) -> None:
    """All rows of one criterion in one phase."""
    torch.set_num_threads(1)
    bench = Bench(options.data, options.work, options.share)
    if tool == PEER:
        bench.peer(phase, criterion, options.peer_scopes)
    else:
        bench.ours(phase, criterion, bench.settings(options, criterion, phase), seed)


def shown(rows: list[common.Row], chosen_by: str, what: str) -> float | None:
    """Test accuracy of the settings that do best on the pictures held out, mean over seeds."""
    rows = [row for row in rows if chosen_by in row]
    if not rows:
        return None
    best = max(rows, key=lambda row: row[chosen_by])
    if best["criterion"] == "random":
        return float(np.mean([row[what] for row in rows]))
    return float(best[what])


def page(results: common.Results) -> str:
    """The tables, and how many cells are won."""
    names = sorted({(r["tool"] == PEER, r["tool"], r["criterion"]) for r in results.rows})
    columns = list(product(COLUMNS, RFS))
    table = [
        "| criterion | " + " | ".join(f"{title}, RF {rf:g}" for title, rf in columns) + " |",
        "|---" * (len(columns) + 1) + "|",
    ]

    def cell(title: str, rf: float, tool: str, **which: str) -> float | None:
        phase, chosen_by, what = COLUMNS[title]
        rows = results.find(tool=tool, phase=phase, target=rf, **which)
        return shown([r for r in rows if which or r["criterion"] != "random"], chosen_by, what)

    cells = {(n, c): cell(*c, n[1], criterion=n[2]) for n, c in product(names, columns)}
    top = {c: max((cells[n, c] or 0 for n in names), default=0) for c in columns}
    for name in names:
        line = [f"{name[2]}, Torch-Pruning" if name[0] else name[2]]
        for column in columns:
            value = cells[name, column]
            text = "" if value is None else f"{100 * value:.2f}"
            line.append(f"**{text}**" if value and value == top[column] else text)
        table.append("| " + " | ".join(line) + " |")
    outcomes = []
    for title, rf in columns:
        mine, peer = cell(title, rf, OURS), cell(title, rf, PEER)
        if mine is not None and peer is not None:
            error = math.sqrt(peer * (1 - peer) / 10_000)
            better = "won" if mine > peer + error else "lost" if mine < peer - error else "tied"
            outcomes.append(f"{title}, RF {rf:g}: {better}, {100 * mine:.2f} to {100 * peer:.2f}")
    return "\n".join([*table, "", *(f"* {line}" for line in outcomes), ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--work", type=Path, required=True, help="folder for weights and results")
    parser.add_argument("--phases", nargs="*", default=list(reversed(PHASES)), choices=PHASES)
    parser.add_argument("--criteria", nargs="*", default=list(spa.criteria()))
    parser.add_argument("--peer", nargs="*", default=["magnitude", "taylor", "fpgm"])
    parser.add_argument("--aggs", nargs="*", default=["sum", "mean"])
    parser.add_argument("--norms", nargs="*", default=["none", "mean"])
    parser.add_argument("--peer-scopes", nargs="*", default=["global", "local", "isomorphic"])
    parser.add_argument("--tries", type=int, default=1, help="settings of a criterion in tuned")
    parser.add_argument("--share", type=float, default=1.0, help="of the training pictures")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--page", type=Path, help="write the tables here")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    Bench(options.data, options.work, options.share).start("after")
    tasks = [(PEER, name, 0) for name in options.peer]
    for name in options.criteria:
        tasks += [(OURS, name, seed) for seed in range(3 if name == "random" else 1)]
    with ProcessPoolExecutor(options.processes, get_context("spawn")) as pool:
        for phase in options.phases:
            made = [pool.submit(job, options, phase, *task) for task in tasks]
            for one in made:
                one.result()
    text = page(common.Results(options.work / "fashion.jsonl", KEYS))
    print(text)
    if options.page:
        options.page.write_text(text)


if __name__ == "__main__":
    main()
