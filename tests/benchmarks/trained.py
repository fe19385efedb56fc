"""Trained ONNX models: analysed, pruned exactly, and what that does to what they are for.

Run as ``python tests/benchmarks/trained.py FILE.onnx ...``, with files out of packages that carry
trained models; nothing is downloaded. Needs Pillow and scipy. Prints for each model what is frozen,
its FLOPs, and parameters that go when a quarter of every group does; at the end a table: seconds
that analysing took of a core; groups; how far the result of that prune is from the masked original;
what is measured (`_trained.py`), as it is, and at FLOPs RF 1.1 and 1.3 by the criterion l2 and by
OBSPA. Sizes that a model leaves open are those of the task; for models without one
``--size NAME=2x3x64x64`` says them.
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


def row(path: Path, sizes: dict[str, tuple[int, ...]]) -> str:
    """One model's line of the table; what is frozen, and figures as they come, are printed."""
    model = onnx.load(path)
    task = task_of(path, model)
    inputs = task.inputs if task else sizes or None
    start, busy = time.perf_counter(), time.process_time()
    session = spa.analyze(model, inputs)
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"\n{path.name}: {seconds:.1f} s ({busy:.1f} s of a core), "
          f"{len(session.groups)} groups", flush=True)  # fmt: skip
    for reason, count in Counter(f.reason for f in session.frozen).most_common():
        print(f"  frozen ({count}): {reason}")
    cells = [path.stem, f"{busy:.1f}", str(len(session.groups))]
    try:
        report = session.prune(ratio=0.25, scope="local", criterion="l2")
        (old, new), flops = report.plan.params, report.plan.flops[0]
        off = f"{report.verification.error:.0e}"
        print(
            f"  {flops / 1e6:.0f} MFLOPs; of {old} parameters go {1 - new / old:.0%}, off by {off}"
        )
        session.undo()
    except spa.SpaError as problem:
        print(f"  a quarter of every group: {problem}")
        off = "refused"
    task = task or agreement(model, session)
    quality = task.measure(runner(model))
    cells += [off, task.what, f"{quality:.1%}"]
    print(f"  {task.what}: {quality:.3f}", flush=True)
    for criterion in ("l2", "obspa"):
        for rf in RFS:
            start = time.perf_counter()
            try:
                data = {"data": task.batches} if criterion == "obspa" else {}
                session.prune(criterion=criterion, flops=rf, **data)
            except spa.SpaError as problem:
                print(f"  {criterion} RF {rf}: {problem}", flush=True)
                cells.append("refused")
                continue
            seconds = time.perf_counter() - start
            quality = task.measure(runner(model))
            cells.append(f"{quality:.1%}")
            print(f"  {criterion} RF {rf}: {quality:.3f} ({seconds:.0f} s)", flush=True)
            session.undo()
    return " | ".join(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--size", action="append", default=[], help="NAME=2x3x64x64")
    options = parser.parse_args()
    pairs = (text.rpartition("=") for text in options.size)
    sizes = {name: tuple(int(n) for n in shape.split("x")) for name, _, shape in pairs}
    rows = [row(path, sizes) for path in options.files]
    heads = "model | s | groups | off | measured | as it is | " + " | ".join(
        f"{criterion}, RF {rf}" for criterion in ("l2", "OBSPA") for rf in RFS
    )
    rule = " | ".join("---" for _ in heads.split(" | "))
    print("", *(f"| {line} |" for line in (heads, rule, *rows)), sep="\n")


if __name__ == "__main__":
    main()
