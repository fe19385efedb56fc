"""Prune one network and check everything about it."""

from __future__ import annotations

import copy
import time
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import spa_kernel as spa

from .check import Untested, Wrong, call, error, mapped, require, structure
from .prepare import ordinary
from .state import differences, state

EXACT, ENOUGH, SEEDS = 1e-5, 0.05, 5
Result = dict[str, Any]


def examine(
    build: Callable[[], tuple[nn.Module, Any]], stage: Callable[[str], None], verify: bool = True
) -> Result:
    """One network's result: class, message, fraction of the parameters gone, seconds.

    Without ``verify`` the engine does not check its own prunes, so that what its analysis got
    wrong shows.
    """
    started, result = time.perf_counter(), Result(stage="build")

    def enter(name: str) -> None:
        result[f"{result['stage']}_s"] = round(time.perf_counter() - result.pop("_at", started), 2)
        result["stage"], result["_at"] = name, time.perf_counter()
        stage(name)

    try:
        for seed in range(SEEDS):
            try:
                _examine(build, seed, verify, enter, result)
                break
            except Untested:
                if seed == SEEDS - 1:
                    raise
    except Wrong as failure:
        result |= {"class": "WRONG", "message": str(failure)}
    except Exception as failure:
        result |= {
            "class": "crash",
            "message": f"{type(failure).__name__}: {failure}",
            "trace": traceback.format_exc(limit=-12),
        }
    enter("done")
    result.pop("_at")
    result["seconds"] = round(time.perf_counter() - started, 2)
    return result


def _examine(
    build: Any, seed: int, verify: bool, enter: Callable[[str], None], result: Result
) -> None:
    torch.manual_seed(seed)
    model, inputs = build()
    model = ordinary(model.eval(), seed)
    result["params"] = sum(p.numel() for p in model.parameters())
    enter("first forward")
    fresh = state(model)
    with torch.no_grad():
        before_out = structure(call(model, mapped(inputs, torch.clone)))
    original, before = copy.deepcopy(model), state(model)
    # What every forward leaves in the model (a cache) says nothing about a prune.
    own = set(differences(fresh, before))
    try:
        enter("analyze")
        session = spa.analyze(model, inputs)
        result["groups"] = sum(g.prunable for g in session.groups), len(session.groups)
        result["frozen"] = reasons(session)
        enter("prune")
        report = session.prune(criterion="l1", ratio=0.5, scope="local", verify=verify)
    except spa.SpaError as refusal:
        result |= {"class": "refused", "message": f"{type(refusal).__name__}: {refusal}"}
        left = [k for k in differences(before, state(model)) if k not in own]
        require(not left, f"a refused prune left something behind: {left[:3]} ({refusal})")
        return
    kept = report.plan.kept
    result["verified"] = str(getattr(report, "verification", report.verified))
    result["gone"] = 1 - sum(p.numel() for p in model.parameters()) / result["params"]
    require(session.model is model, "the session's model is another object")
    enter("second forward")
    with torch.no_grad():
        after_out = structure(call(model, mapped(inputs, torch.clone)))
    enter("check")
    worst, note = error(original, kept, model, inputs, EXACT)
    result |= {"error": worst, "note": note}
    if before_out != after_out:
        # Numbers of detections depend on values; with equal values they are equal.
        result["note"] = f"{note}; other structure in float32".strip("; ")
    require(worst < EXACT, f"differs from the masked original by {worst:.3g} ({note})")
    enter("other inputs")
    result["other_error"] = elsewhere(original, kept, model, inputs)
    enter("undo")
    session.undo()
    left = [k for k in differences(before, state(model)) if k not in own]
    require(not left, f"undo did not bring back {left[:5]}")
    result["class"] = "exact" if result["gone"] >= ENOUGH else "little"
    result["message"] = "" if result["class"] == "exact" else few(result["frozen"])


def elsewhere(original: nn.Module, kept: Any, model: nn.Module, inputs: Any) -> float | str:
    """The error on other inputs: what Python branches decided may be otherwise there."""
    generator = torch.Generator().manual_seed(1)

    def other(x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point():
            return x.flatten()[torch.randperm(x.numel(), generator=generator)].view(x.shape)
        return x * (0.5 + torch.rand(x.shape, generator=generator).to(x))

    try:
        return error(original, kept, model, mapped(inputs, other), EXACT)[0]
    except Exception as failure:
        return f"{type(failure).__name__}: {failure}"


def reasons(session: spa.Session) -> list[tuple[str, int]]:
    """Why groups are frozen, with the parameters that each reason holds; most costly first."""
    costs: Counter[str] = Counter()
    for frozen in session.frozen:
        costs[frozen.reason] += frozen.params
    return costs.most_common(12)


def few(frozen: list[tuple[str, int]]) -> str:
    return "; ".join(f"{reason} [{params:,}]" for reason, params in frozen[:3])
