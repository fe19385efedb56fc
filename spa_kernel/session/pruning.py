"""Carrying a prune out: at once, or in several steps with scores worked out anew."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

from spa_kernel import progress
from spa_kernel.coupling.result import Group
from spa_kernel.errors import InfeasibleTarget, VerificationFailed
from spa_kernel.plan import Plan
from spa_kernel.plan.arguments import TARGETS
from spa_kernel.session.analysis import Analysis
from spa_kernel.session.calibration import batches
from spa_kernel.session.explain import relied_on
from spa_kernel.session.hypotheses import culprits
from spa_kernel.session.report import Report
from spa_kernel.session.turns import tell

if TYPE_CHECKING:
    from spa_kernel.session.session import Session


def carry_out(
    session: Session,
    plan: Plan | Callable[[], Plan],
    *,
    optimizer: Any,
    verify: bool,
    goal: str = "",
) -> Report:
    """One prune, by a plan or by what is wished for; see `Session.prune`.

    Parameters
    ----------
    plan : Plan or callable
        Or what makes one for the model as it is; it is called again if channels turn out not to
        be able to go.
    goal : str
        What the label in the history says it was for, where that is not in the plan.
    """
    start = time.perf_counter()
    session.backend.check()
    notes: list[str] = []
    while True:
        coupling, chosen = session.analysis.coupling, None
        try:
            # Planning for a latency prunes copies, which may not follow either.
            chosen = plan if isinstance(plan, Plan) else plan()
            removed = chosen.mask(coupling)
            mend = None
            if chosen.settings.get("reconstruct"):
                mend = session.backend.reconstruction(
                    coupling,
                    batches(session, chosen),
                    chosen.settings.get("calibration") in ("ood", "none"),
                )
            progress.report("applying")
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
                losing = [
                    group
                    for group in coupling.groups
                    if group.prunable and (chosen is None or group.id in chosen.removed)
                ]
                held = culprits(session.backend, coupling, losing)
                if not held:
                    raise
                session.analysis.hold_groups(held, reason)
                what = ", ".join(f"{group.id} ({group.name})" for group in held)
            if isinstance(plan, Plan):
                raise
            notes.append(f"{what} could not follow; its channels stay")
    try:
        if mend is not None:
            notes += mend(removed)
        analysis = Analysis.of(session.backend)
        history = session.history
        if lost := history.undone:
            notes.append(f"{lost} undone step{'s' * (lost > 1)} can no longer be redone")
        notes += relied_on(coupling, removed)
        seconds = time.perf_counter() - start
        report = Report(chosen, verification, history.position + 1, seconds, notes)
        history.add(label(chosen, goal), analysis, chosen, change, seconds)
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
    least sure, remove least. A ratio, and ``max_ratio``, count from before the first step.
    """
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise InfeasibleTarget(f"steps={steps!r}: use a whole number of 1 or more")
    if between is not None and not callable(between):
        raise InfeasibleTarget(f"between={between!r}: use a function of the session")
    # Checks all wishes, and that there is a way there, before anything is done.
    session.plan(**{**wishes, "criterion": "random", "data": None, "loss": None,
                    "calibration": None, "reconstruct": False})  # fmt: skip
    name, goal = next((n, wishes[n]) for n in TARGETS if wishes.get(n) is not None)
    history, put_back = session.history, session.backend.settings()
    known, before, groups = list(history), history.position, session.groups
    reports: list[Report] = []

    def plan(step: int) -> Plan:
        """For the model as it is."""
        origin = origins(groups, session.groups)
        lost = {g.id: origin[g.id].size - g.size for g in session.groups}
        if name == "ratio":
            wish = share(goal, step, steps, None)
            return session.plan(**{**wishes, name: wish, "earlier": lost})
        done = prod(before / after for before, after in (getattr(r.plan, name) for r in reports))
        wish = share(goal, step, steps, done)
        return session.plan(**{**wishes, name: wish, "earlier": lost})

    try:
        for step in range(1, steps + 1):
            report = carry_out(
                session, partial(plan, step), optimizer=optimizer, verify=verify,
                goal=f"step {step} of {steps} to {name} {amount(goal)}",
            )  # fmt: skip
            reports.append(report)
            tell("changed", session)
            if between is not None and step < steps:
                between(session)
    except BaseException:
        history.rewind(known, before)
        put_back()
        raise
    notes = list(dict.fromkeys(note for each in reports for note in each.notes))
    worst = max((each.verification for each in reports), key=lambda found: found.error or 0.0)
    seconds = sum(each.seconds for each in reports)
    return replace(report, verification=worst, seconds=seconds, notes=notes, steps=reports)


def share(goal: Any, step: int, steps: int, done: float | None) -> Any:
    """What one of several steps is to reach.

    Parameters
    ----------
    goal : float or mapping of str to float
        A factor, or the fraction of channels that goes.
    done : float or None
        The factor that was reached before; ``None`` where the goal is a fraction.

    Returns
    -------
    float or mapping of str to float
        A factor counts from where the model stands, so that what earlier steps did too much or too
        little is made up for; a fraction counts from the start.
    """
    if isinstance(goal, Mapping):
        return {name: share(part, step, steps, done) for name, part in goal.items()}
    if done is None:
        # (1 - r)^steps of the channels stay in the end.
        return goal if step == steps else 1 - (1 - goal) ** (step / steps)
    wanted = goal if step == steps else goal ** (step / steps)
    # Rounding must not leave the goal a hair short.
    return max(1.0, wanted / done * (1 + 1e-12))


def origins(start: list[Group], now: list[Group]) -> dict[str, Group]:
    """For the id of each group the group that it was at the start.

    A group may have got another number: it is found again by the axes that it cuts.
    """
    by_member: dict[tuple[str, int], list[Group]] = {}
    for group in start:
        for member in group.members:
            by_member.setdefault(member, []).append(group)
    found = {}
    for group in now:
        shared = Counter(
            other
            for member in group.members
            for other in by_member.get(member, ())
            if other.size >= group.size
        )
        found[group.id] = max(
            shared,
            key=lambda other: (2 * shared[other] - len(other.members), other.id == group.id),
            default=group,
        )
    return found


def label(plan: Plan, goal: str = "") -> str:
    """What a plan does, in a few words."""
    settings: Mapping[str, Any] = plan.settings
    wish = next((f"{k} {amount(settings[k])}" for k in TARGETS if settings.get(k)), "")
    lost = sum(before - after for before, after in plan.widths.values())
    return f"pruned {lost:,} channels ({settings.get('criterion', 'own plan')}, {goal or wish})"


def amount(value: Any) -> str:
    """A target, or several by name, in a few words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {part:g}" for name, part in value.items())
    return f"{value:g}"
