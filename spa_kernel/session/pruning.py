"""Carrying a prune out: at once, or in several steps with scores worked out anew."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from spa_kernel import progress
from spa_kernel.errors import InfeasibleTarget, VerificationFailed
from spa_kernel.plan import Plan
from spa_kernel.session.analysis import Analysis
from spa_kernel.session.explain import relied_on
from spa_kernel.session.hypotheses import culprits
from spa_kernel.session.report import Report

if TYPE_CHECKING:
    from spa_kernel.session.session import Session

TARGETS = "ratio", "flops", "params", "memory", "latency"


def carry_out(
    session: Session,
    plan: Plan | None,
    wishes: Mapping[str, Any],
    *,
    optimizer: Any,
    verify: bool,
    called: str = "",
) -> Report:
    """One prune, by a plan or by what is wished for; see `Session.prune`.

    Parameters
    ----------
    called : str
        Added to the label in the history.
    """
    start = time.perf_counter()
    session.backend.check()
    notes: list[str] = []
    while True:
        chosen = session.plan(**wishes) if plan is None else plan
        coupling = session.analysis.coupling
        removed = chosen.mask(coupling)
        progress.report("applying")
        try:
            change, verification = session.backend.apply(
                coupling, removed, verify=verify, optimizer=optimizer
            )
            break
        except VerificationFailed as error:
            # What cannot follow a prune stays, and the rest is planned anew.
            reason = f"a prune was tried, and {error}"
            if session.analysis.hold(error.nodes, reason):
                what = error.nodes[0].where
            else:
                losing = [g for g in coupling.groups if len(set(chosen.widths[g.id])) > 1]
                held = culprits(session.backend, coupling, losing)
                if not held:
                    raise
                session.analysis.hold_groups(held, reason)
                what = ", ".join(f"{group.id} ({group.name})" for group in held)
            if plan is not None:
                raise
            notes.append(f"{what} could not follow; its channels stay")
    try:
        analysis = Analysis.of(session.backend)
        history = session.history
        if lost := history.undone:
            notes.append(f"{lost} undone steps can no longer be redone")
        notes += relied_on(coupling, removed)
        seconds = time.perf_counter() - start
        report = Report(chosen, verification, history.position + 1, seconds, notes)
        history.add(label(chosen) + called, analysis, chosen, change, seconds)
    except BaseException:
        change.undo()
        raise
    return report


def in_steps(
    session: Session,
    wishes: Mapping[str, Any],
    steps: int,
    between: Callable[[Session], Any] | None,
    *,
    optimizer: Any,
    verify: bool,
) -> Report:
    """Come to a target in several prunes; on any failure all of them are taken back.

    What is left shrinks by the same factor in every step, so that the last steps, when scores are
    least sure, remove least.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InfeasibleTarget(f"steps={steps!r}: use a whole number of 1 or more")
    goals = {name: wishes[name] for name in TARGETS if wishes.get(name) is not None}
    if len(goals) != 1 or isinstance(next(iter(goals.values())), Mapping):
        raise InfeasibleTarget(
            f"several steps need exactly one number as target, one of {', '.join(TARGETS)}"
        )
    ((name, goal),) = goals.items()
    # Checks the goal as a whole before anything is done.
    session.plan(**{**wishes, "criterion": "random", "data": None, "loss": None})
    taken, reports = 0, []
    start = {"flops": session.cost[0], "params": session.cost[1]}
    try:
        for step in range(1, steps + 1):
            wish = {**wishes, name: share(session, name, goal, step, steps, start)}
            report = carry_out(
                session, None, wish, optimizer=optimizer, verify=verify,
                called=f", step {step} of {steps}",
            )  # fmt: skip
            taken += 1
            reports.append(report)
            if between is not None and step < steps:
                between(session)
    except BaseException:
        if taken:
            session.undo(taken)
        raise
    return replace(report, steps=reports)


def share(
    session: Session, name: str, goal: float, step: int, steps: int, start: Mapping[str, int]
) -> float:
    """What one of several steps is to reach, counted from where the model stands before it."""
    if name == "ratio":
        # (1 - r)^steps of the channels stay in the end.
        return float(1 - (1 - goal) ** (1 / steps))
    wanted = goal ** (step / steps)
    if name in start:
        # What earlier steps did too much or too little is made up for.
        now = session.cost[0 if name == "flops" else 1]
        return float(max(1.0, wanted * now / start[name]))
    return float(goal ** (1 / steps))


def label(plan: Plan) -> str:
    """What a plan does, in a few words."""
    settings: Mapping[str, Any] = plan.settings
    wish = next((f"{k} {amount(settings[k])}" for k in TARGETS if settings.get(k)), "")
    lost = sum(before - after for before, after in plan.widths.values())
    return f"pruned {lost:,} channels ({settings.get('criterion', 'own plan')}, {wish})"


def amount(value: Any) -> str:
    """A target, or several by name, in a few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part:g}" for name, part in value.items())
    return f"{value:g}"
