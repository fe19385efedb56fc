"""``python -m tests.fuzz.onnx --count 2000``: prune random ONNX models, judged by onnxruntime.

Every model that must not be is printed with its number, and with the least number of steps that
still shows it; ``--only NUMBER`` repeats it.
"""

from __future__ import annotations

import argparse
import sys
import traceback
import warnings
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import onnx
from onnx_judge import EXACT, drawn, judge, outputs

import spa_kernel as spa

from .check import Result, reason
from .onnx_network import build

BAD = "WRONG", "crash", "alarm"


def examine(number: int, steps: int | None = None) -> Result:
    """A class and what there is to say: as in `tests.fuzz.check`."""
    model, wishes = build(number, steps)
    rank = len(model.graph.input[0].type.tensor_type.shape.dim)
    shapes = {"x": (2, 3, 6, 6) if rank == 4 else (2, 5, 6)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            onnx.checker.check_model(model, full_check=True)
            results = outputs(model, drawn(model, shapes))
            if not all(np.isfinite(r).all() and np.abs(r).max() < 1e6 for r in results):
                return {"class": "invalid", "message": "too large"}
        except Exception as problem:
            return {"class": "invalid", "message": f"{type(problem).__name__}: {problem}"}
        try:
            outcome = judge(model, shapes, verify=False, **wishes)
            said = ""
            try:
                spa.analyze(model, shapes).prune(**wishes)
            except spa.SpaError as problem:
                said = f"{type(problem).__name__}: {problem}"
        except AssertionError as problem:
            untested = "no test of anything" in str(problem)
            return {"class": "untested" if untested else "WRONG", "message": str(problem)}
        except Exception as problem:
            return {"class": "crash", "message": f"{type(problem).__name__}: {problem}",
                    "trace": traceback.format_exc(limit=-6)}  # fmt: skip
    if outcome.refused:
        kind = outcome.refused.partition(":")[0]
        kinds = {"InfeasibleTarget": "infeasible", "CaptureError": "crash"}
        return {"class": kinds.get(kind, "refused"), "message": outcome.refused}
    # Whole numbers that are rounded differently by a digit make a step.
    if not outcome.error < max(EXACT, min(10 * outcome.noise, 0.05)):
        hole = "" if said.startswith("VerificationFailed") else " (and the check does not see it)"
        return {"class": "WRONG", "message": f"off by {outcome.error:.3g}{hole}"}
    if said:
        return {"class": "alarm", "message": said}
    return {"class": "exact" if outcome.lost > 0 else "little", "message": ""}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.onnx", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many models")
    parser.add_argument("--start", type=int, default=0, help="number of the first one")
    parser.add_argument("--only", type=int, nargs="*", help="these numbers")
    options = parser.parse_args()
    found: dict[int, Result] = {}
    for number in options.only or range(options.start, options.start + options.count):
        result = found[number] = examine(number)
        if result["class"] in BAD or options.only:
            steps = next((s for s in range(15) if examine(number, s)["class"] in BAD), None)
            print(number, f"(steps: {steps})", result["class"], result["message"][:300], flush=True)
            print(result.get("trace", ""), flush=True)
    print(dict(Counter(r["class"] for r in found.values()).most_common()))
    for kind in ("refused", "infeasible", "untested", "invalid"):
        of_kind = Counter(reason(r) for r in found.values() if r["class"] == kind)
        for text, n in of_kind.most_common(8):
            print(f"  {kind} {n:5}  {text}")
    return int(any(r["class"] in BAD for r in found.values()))


if __name__ == "__main__":
    sys.exit(main())
