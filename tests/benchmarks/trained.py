"""Trained ONNX models: analysed, pruned exactly, and what that does to what they are for.

Run as ``python tests/benchmarks/trained.py FILE.onnx ...``, with files out of packages that carry
trained models; nothing is downloaded. Needs Pillow and scipy. Prints one row per model: seconds of
analysis; FLOPs; groups; parameters that go when a quarter of every group does, and how far the
result is from the masked original; then, where the task is known (`_trained.py`), the quality as
it is, and at FLOPs RF 1.1 and 1.3 by the criterion l2 and by OBSPA. Sizes that a model leaves open
are those of the task; for other models ``--size NAME=2x3x64x64`` says them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

sys.path.insert(0, str(Path(__file__).parent))
from _trained import Feeds, Run, Task, task_of

import spa_kernel as spa
from spa_kernel.frontends.onnx.run import random_inputs

RFS = 1.1, 1.3


def runner(model: onnx.ModelProto) -> Run:
    """The model in onnxruntime, on one thread."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = ort.InferenceSession(model.SerializeToString(), options)
    return lambda feeds: [np.asarray(a) for a in session.run(None, feeds)]


def agreement(original: onnx.ModelProto, session: spa.Session) -> Task:
    """How often the largest entry along the last axis stays where it was, on random inputs."""
    graph = session.analysis.graph
    shapes = {value.name: value.shape for value in graph.inputs}
    feeds: list[Feeds] = [random_inputs(original, shapes, {}, seed) for seed in range(6)]
    wanted = [runner(original)(f)[0].argmax(-1) for f in feeds]

    def measure(run: Run) -> float:
        return float(np.mean([(run(f)[0].argmax(-1) == w).mean()
                              for f, w in zip(feeds, wanted, strict=True)]))  # fmt: skip

    batches = [random_inputs(original, shapes, {}, seed) for seed in range(6, 12)]
    return Task(shapes, batches, measure, "first choices as before, on random inputs")


def row(path: Path, sizes: dict[str, tuple[int, ...]]) -> None:
    model = onnx.load(path)
    task = task_of(path, model)
    inputs = task.inputs if task else sizes or None
    start = time.perf_counter()
    session = spa.analyze(model, inputs)
    seconds = time.perf_counter() - start
    print(f"\n{path.name}: {seconds:.2f} s, {len(session.groups)} groups", flush=True)
    for reason, count in Counter(f.reason for f in session.frozen).most_common():
        print(f"  frozen ({count}): {reason}")
    try:
        report = session.prune(ratio=0.25, scope="local", criterion="l2")
    except spa.SpaError as problem:
        print(f"  refused: {problem}")
        return
    (old, new), flops = report.plan.params, report.plan.flops[0]
    print(f"  {flops / 1e6:.0f} MFLOPs; of {old} parameters go {1 - new / old:.0%}, "
          f"off by {report.verification.error:.1g}")  # fmt: skip
    session.undo()
    task = task or agreement(model, session)
    print(f"  {task.what}: {task.measure(runner(model)):.3f}", flush=True)
    for criterion in ("l2", "obspa"):
        for rf in RFS:
            try:
                data = {"data": task.batches} if criterion == "obspa" else {}
                session.prune(criterion=criterion, flops=rf, **data)
            except spa.SpaError as problem:
                print(f"  {criterion} RF {rf}: {problem}")
                continue
            print(f"  {criterion} RF {rf}: {task.measure(runner(model)):.3f}", flush=True)
            session.undo()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--size", action="append", default=[], help="NAME=2x3x64x64")
    options = parser.parse_args()
    pairs = (text.rpartition("=") for text in options.size)
    sizes = {name: tuple(int(n) for n in shape.split("x")) for name, _, shape in pairs}
    for path in options.files:
        row(path, sizes)


if __name__ == "__main__":
    main()
