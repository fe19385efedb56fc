"""Plans for a latency: foretold by a table that is measured here, put right by measuring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from spa_kernel import progress
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan import Plan
from spa_kernel.plan.arguments import check_target, largest_ratios
from spa_kernel.plan.latency import LatencyTable, Sample
from spa_kernel.session.timed import Latency, compare

if TYPE_CHECKING:
    from spa_kernel.frontends.backend import Timed
    from spa_kernel.session.session import Session

WIDTHS = 8
"""Pruned copies that the table is made from."""
COMPARED = WIDTHS // 2, WIDTHS
"""Those among them that are timed as a whole too."""
TINY = 1e-9
"""Keeps a weight finite, and a target just within reach."""
ROUNDS = 6
"""Plans that are then made and measured, at most."""
ALL = 0.999
"""The ratio that removes all that may go where groups may lose everything but one channel."""
NOISY = 0.05
"""Relative standard error with which nothing can be said of a target."""
OVER = 0.01
"""A plan may be faster than was asked by this fraction."""


def measured_plan(session: Session, make: partial[Plan], target: float) -> Plan:
    """The plan for ``latency=``, see `Session.plan`; the model is left as it is.

    Parameters
    ----------
    session : Session
    make : functools.partial
        `spa_kernel.plan.make_plan` with everything but the target.
    target : float

    Raises
    ------
    InfeasibleTarget
    """
    check_target({"latency": target})
    given = make.keywords
    if given["rounding"] not in (None, "down"):
        raise InfeasibleTarget(
            f"rounding={given['rounding']!r} may stop short of the target, and a latency is "
            "always reached: leave rounding out"
        )
    largest = largest_ratios(session.groups, given["max_ratio"])
    return Chooser(session, make).plan(target, min(float(largest.max(initial=0.0)), ALL))


@dataclass(frozen=True, slots=True)
class Trial:
    """A plan, and what it was measured to bring."""

    plan: Plan
    removed: np.ndarray
    latency: Latency

    @property
    def factor(self) -> float:
        return self.latency.factor


class Chooser:
    """Looks for a plan whose pruned copy is measured to be so many times faster.

    Parameters
    ----------
    session : Session
        Its model is copied, and left alone.
    make : functools.partial
        `spa_kernel.plan.make_plan` with everything but the target.
    """

    def __init__(self, session: Session, make: partial[Plan]) -> None:
        self.backend, self.make = session.backend, make
        self.graph, self.coupling = session.analysis.graph, session.analysis.coupling
        self.axes = session.analysis.cost.axes
        self.original = self.backend.timed()
        self.done = 0
        self.trials: list[Trial] = []

    def plan(self, target: float, most: float) -> Plan:
        """The slowest plan that reaches a target, among those that were measured.

        Parameters
        ----------
        target : float
            Latency before divided by latency after, 1 or more.
        most : float
            The largest ratio that a plan may have.

        Returns
        -------
        Plan
            With the latency that was measured.

        Raises
        ------
        InfeasibleTarget
            What removes all that may go is not fast enough.
        """
        if target == 1:
            nothing = np.zeros(self.coupling.count, dtype=bool)
            self.trials = [self.trial(self.make(ratio=0.0), nothing, self.original)]
            return self.noted(self.trials[0], target, 1.0)
        table = self.table(most)
        most_of_all = self.trials[-1]
        if most_of_all.factor < target:
            raise InfeasibleTarget(self.unreachable(target, most_of_all))
        for _ in range(ROUNDS):
            if self.best(target).factor <= target * (1 + OVER):
                break
            plan = self.make(latency=self.aim(table, target * (1 + OVER / 2)), table=table)
            removed = plan.mask(self.coupling)
            if any((removed == trial.removed).all() for trial in self.trials):
                # There is no choice between two that were measured.
                break
            pruned = self.backend.timed(self.coupling, removed)
            self.trials.append(self.trial(plan, removed, pruned))
        best = self.best(target)
        if best.latency.spread > NOISY:
            raise InfeasibleTarget(
                f"latency={target:g}: the machine does so much else that how many times faster a "
                f"pruned model is can only be told to ± {best.latency.spread:.0%}. Ask again when "
                "it is quieter, with torch.set_num_threads(1), or for flops="
            )
        return self.noted(best, target, table.base / table.count(best.removed))

    def table(self, most: float) -> LatencyTable:
        """Time pruned copies, on the way from nothing to all that may go."""
        parts = self.original.parts(self.graph)
        nothing = np.zeros(self.coupling.count, dtype=bool)
        samples = [Sample(nothing, self.original.split(self.original))]
        for step in range(1, WIDTHS + 1):
            plan = self.make(ratio=most * step / WIDTHS)
            removed = plan.mask(self.coupling)
            self.report()
            pruned, whole = self.backend.timed(self.coupling, removed), None
            if step in COMPARED:
                self.trials.append(self.trial(plan, removed, pruned))
                whole = self.trials[-1].latency.after
            samples.append(Sample(removed, self.original.split(pruned), whole))
        samples[0] = replace(samples[0], whole=self.trials[-1].latency.before)
        return LatencyTable(self.axes, parts, samples)

    def trial(self, plan: Plan, removed: np.ndarray, pruned: Timed) -> Trial:
        """Measure a plan."""
        self.report()
        return Trial(plan, removed, compare(self.original, pruned))

    def report(self) -> None:
        """Progress: one copy or comparison more."""
        progress.report("timing", self.done, WIDTHS + len(COMPARED) + ROUNDS)
        self.done += 1

    def best(self, target: float) -> Trial:
        """The slowest that reaches the target."""
        return min((t for t in self.trials if t.factor >= target), key=lambda t: t.factor)

    def aim(self, table: LatencyTable, goal: float) -> float:
        """What to ask of the table, so that ``goal`` will be measured.

        By how much the table was wrong so far, each time weighted by how close to the goal that
        was: noise evens out.
        """
        foretold = [1.0, *(table.base / table.count(t.removed) for t in self.trials)]
        found = np.array([1.0, *(t.factor for t in self.trials)])
        noise = np.mean([t.latency.spread for t in self.trials])
        weights = 1 / (np.log(found / goal) ** 2 + noise**2 + TINY)
        wrong = np.average(np.log(found / foretold), weights=weights)
        return float(np.clip(goal / np.exp(wrong), 1.0, max(foretold) * (1 - TINY)))

    def noted(self, trial: Trial, target: float, foretold: float) -> Plan:
        """A measured plan, as the person asked for it, and what the table alone said of it."""
        before, after = trial.latency.before, trial.latency.after
        settings = {**trial.plan.settings, "ratio": None, "latency": target}
        settings |= {"latency_spread": trial.latency.spread, "latency_foretold": foretold}
        return replace(trial.plan, latency=(before, after), settings=settings)

    def unreachable(self, target: float, most: Trial) -> str:
        """Say how far the target can be reached."""
        settings, found = most.plan.settings, most.latency
        limits = [
            f"{name}={settings[name]}"
            for name in ("max_ratio", "min_width", "round_to", "groups", "exclude")
            if settings.get(name) is not None
        ]
        return (
            f"latency={target:g} cannot be reached: with all removed that may go, the model was "
            f"measured to be {found.factor:.2f} times faster (± {found.factor * found.spread:.2f}; "
            f"{found.before * 1000:.3g} ms → {found.after * 1000:.3g} ms). What limits it: "
            f"{', '.join(limits)}, and what cannot go (session.frozen)"
        )
