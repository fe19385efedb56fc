"""What must be true of a random network: a prune is exact or refused, and can be taken back."""

from __future__ import annotations

import copy
import re
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from reference import (
    Outcome,
    call,
    differences,
    fresh_inputs,
    judge,
    ordinary,
    plain_float64,
    state,
)
from torch import nn

import spa_kernel as spa

from .network import Program, RandomNetwork, inputs, shortened

EXACT = 1e-6
BAD = "WRONG", "crash", "hole", "alarm"
KINDS = {"InfeasibleTarget": "infeasible", "CaptureError": "crash"}
"""Of errors. The forward runs, so it must be possible to record it."""
Result = dict[str, Any]


def built(program: Program) -> nn.Module:
    """The network, with weights that hide no error."""
    torch.manual_seed(0)
    return ordinary(RandomNetwork(program).eval())


def examine(program: Program) -> Result:
    """What becomes of a network: a class, and what there is to say about it.

    ``exact``; ``little``: exact, but nothing went; ``refused`` (by the check after a prune) and
    ``infeasible`` with the reason. Then what must not be: ``WRONG``; ``hole``: wrong, and the
    engine's own check does not see it; ``alarm``: right, and the engine's check says no; ``crash``:
    anything but a `SpaError`, or a forward that runs and cannot be recorded. ``untested``: the
    network cannot show an error.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = built(program)
            # What runs on torch's fused shortcuts only (a view of their output) would not train.
            with torch.no_grad(), plain_float64():
                call(copy.deepcopy(model).double(), fresh_inputs(inputs(program.inputs), 0))
        except Exception as problem:
            return {"class": "invalid", "message": f"{type(problem).__name__}: {problem}"}
        try:
            result = _judged(program, model)
            checked = _checked(program)
        except Exception as problem:
            place = traceback.extract_tb(problem.__traceback__)[-1]
            return {
                "class": "crash",
                "message": f"{type(problem).__name__}: {problem}",
                "where": f"{place.filename.rpartition('/')[2]}:{place.lineno}",
                "trace": traceback.format_exc(limit=-8),
            }
    fine = result["class"] in ("exact", "little")
    if result["class"] == "WRONG" and not checked:
        result["class"] = "hole"
    elif fine and checked.startswith("VerificationFailed"):
        result |= {"class": "alarm", "message": checked}
    elif fine and checked:
        result |= {"class": "alarm", "message": f"only with verify=True: {checked}"}
    return result


def _judged(program: Program, model: nn.Module) -> Result:
    """The independent judge's word; the engine does not check its own prunes."""
    found: Result = {}

    def also(session: spa.Session, report: spa.Report) -> None:
        found["params"] = report.plan.params
        with torch.no_grad():
            call(model, inputs(program.inputs, batch=3))

    try:
        outcome: Outcome = judge(
            model, inputs(program.inputs), verify=False, also=also, **program.wishes
        )
    except AssertionError as problem:
        if "no test of anything" in str(problem):
            return {"class": "untested", "message": str(problem)}
        return {"class": "WRONG", "message": str(problem)}
    if outcome.refused:
        kind = KINDS.get(outcome.refused.partition(":")[0], "refused")
        return {"class": kind, "message": outcome.refused, **found}
    if not outcome.error < EXACT:
        return {"class": "WRONG", "message": f"off by {outcome.error:.3g}", **found}
    kind = "exact" if outcome.lost > 0 else "little"
    return {"class": kind, "error": outcome.error, "lost": outcome.lost, **found}


def _checked(program: Program) -> str:
    """What the engine itself says when it checks its prune; and that prune taken back."""
    model = built(program)
    before = state(model)
    said = ""
    try:
        session = spa.analyze(model, inputs(program.inputs))
        session.prune(**program.wishes)
        session.undo()
        session.redo()
        session.reset()
    except spa.SpaError as problem:
        said = f"{type(problem).__name__}: {problem}"
    assert not differences(before, state(model)), "not all is as it was"
    return said


def reason(result: Result) -> str:
    """A refusal without names and numbers, to be counted."""
    text = result.get("message", "").split(". ")[0]
    text = re.sub(r"'[^']*'|\([^)]*\)", "…", text)
    text = re.sub(r"\S+\.(?:\d+|layers)\S*", "…", text)
    return re.sub(r"-?\d[\d.,e+-]*", "N", text)[:110]


def reduced(program: Program, bad: Callable[[Program], bool]) -> Program:
    """A smallest program that still is bad."""
    again = True
    while again:
        again = False
        for simpler in shortened(program):
            if bad(simpler):
                program, again = simpler, True
                break
    return program


@contextmanager
def one_thread() -> Iterator[None]:
    """Small networks run fastest on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
