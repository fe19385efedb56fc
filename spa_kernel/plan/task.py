"""The choice of units for a target, inside all limits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.limits import fit, in_step, never_empty, portion
from spa_kernel.plan.measure import Measure
from spa_kernel.plan.rounding import Rounding, multiples, round_to_blocks, rounded
from spa_kernel.plan.scope import Scope
from spa_kernel.plan.search import Search
from spa_kernel.plan.units import Units, label_groups, make_units


@dataclass(slots=True)
class Task:
    """All that a target is looked for with.

    Attributes
    ----------
    per_label : numpy.ndarray
        float64 score of each label.
    groups : numpy.ndarray
        int64, the group of each label.
    sizes, cells, limits, lost : numpy.ndarray
        int64 per group: its channels, its cell (-1: compared with nothing), the most channels
        that it may lose, and how many it has lost before, where fractions count these too.
    bounds : list of str
        What a person set that keeps channels from going, in words.
    """

    coupling: Coupling
    axes: DistinctAxes
    per_label: np.ndarray
    groups: np.ndarray
    sizes: np.ndarray
    scope: Scope
    cells: np.ndarray
    limits: np.ndarray
    lost: np.ndarray
    multiple: int = 1
    rounding: Rounding | None = None
    cost_weight: float = 0.0
    bounds: list[str] = field(default_factory=list)

    @classmethod
    def prepare(
        cls,
        coupling: Coupling,
        axes: DistinctAxes,
        scores: Mapping[str, np.ndarray],
        scope: Scope,
        cells: np.ndarray,
    ) -> Task:
        per_label = np.zeros(coupling.count)
        for group in coupling.groups:
            if group.id not in scores:
                continue
            own = np.asarray(scores[group.id], dtype=np.float64)
            if own.shape != (group.size,) or not np.isfinite(own).all():
                raise InfeasibleTarget(
                    f"scores of {group.id} ({group.name}) must be {group.size} finite numbers, "
                    f"one per coupled channel; got shape {list(own.shape)}"
                )
            per_label[group.labels] = own
        sizes = np.array([g.size for g in coupling.groups], dtype=np.int64)
        # Groups that are compared with nothing go with others only, each on its own.
        alone = np.arange(len(cells)) + cells.max(initial=0) + 1
        cells = np.where(cells < 0, alone, cells)
        groups = label_groups(coupling)
        return cls(coupling, axes, per_label, groups, sizes, scope, cells, sizes, 0 * sizes)

    def portions(self, ratios: np.ndarray) -> np.ndarray:
        """int64 per group: this fraction of its channels, without what it has lost before."""
        return self.remaining(self.sizes, self.lost, ratios)

    def shares(self, ratio: float) -> np.ndarray:
        """int64 per cell: this fraction of its channels, without what it has lost before."""
        sizes = self.per_cell(self.sizes)
        return self.remaining(sizes, self.per_cell(self.lost), np.full(len(sizes), ratio))

    @staticmethod
    def remaining(sizes: np.ndarray, lost: np.ndarray, ratios: np.ndarray) -> np.ndarray:
        """What is left to lose of a fraction of what there was."""
        before = zip((sizes + lost).tolist(), ratios, strict=True)
        found = np.array([portion(n, r) for n, r in before], dtype=np.int64)
        return np.clip(found - lost, 0, None)

    def per_cell(self, amounts: np.ndarray) -> np.ndarray:
        """int64 per cell: the sum over the groups that were asked for."""
        asked = np.zeros(len(self.sizes), dtype=bool)
        asked[self.groups[self.scope.wanted]] = True
        count = int(self.cells.max(initial=-1)) + 1
        wanted = np.bincount(self.cells, amounts * asked, minlength=count)
        every = np.bincount(self.cells, amounts, minlength=count)
        some = np.bincount(self.cells, asked, minlength=count) > 0
        # Channels that were not asked for may have to go with others.
        sizes: np.ndarray = np.where(some, wanted, every).astype(np.int64)
        return sizes

    def units(self) -> tuple[Units, np.ndarray]:
        """The units that may go together without emptying an axis, and their order by score."""
        units = make_units(self.coupling, self.per_label, self.scope.available, self.scope.wanted)
        order = np.argsort(units.score, kind="stable")
        allowed = never_empty(self.axes, units, order)
        self.scope.check_reach(units.labels[allowed[units.owner]])
        return units, order[allowed[order]]

    def blocks(self, units: Units, order: np.ndarray) -> tuple[Units, np.ndarray]:
        """Units joined so that widths are multiples, and their order by score."""
        if self.multiple == 1:
            return units, order
        joined = round_to_blocks(
            units, order, self.per_label, self.groups, self.sizes, self.multiples()
        )
        return joined, np.argsort(joined.score, kind="stable")

    def multiples(self) -> np.ndarray:
        return multiples(self.coupling, self.multiple)

    def by_quota(self, quotas: np.ndarray) -> np.ndarray:
        """Bool mask over labels that go, from how many each cell may lose."""
        units, order = self.units()
        by_group, by_cell = (self.groups, self.limits), (self.cells[self.groups], quotas)
        chosen = fit(units, order, [by_group, by_cell])
        if self.multiple > 1:
            lost = np.bincount(
                self.groups[units.labels[chosen[units.owner]]], minlength=len(self.sizes)
            )
            losses = rounded(self.sizes, lost, self.multiples(), self.rounding or "nearest")
            units, order = self.blocks(units, order)
            chosen = fit(units, order, [(self.groups, np.minimum(losses, self.limits))])
        return units.mark(chosen, self.coupling.count)

    def by_cost(self, measure: Measure, target: float) -> np.ndarray:
        """Bool mask over labels that go, for a budget."""
        if target == 1:
            return np.zeros(self.coupling.count, dtype=bool)
        if measure.base == 0:
            raise InfeasibleTarget(
                f"{measure.name}={target} cannot be reached: this model has no {measure.name} that "
                "are counted; give another target"
            )
        if self.cost_weight:
            nothing = np.zeros(self.coupling.count, dtype=bool)
            worth = measure.slope(nothing)
            self.per_label = per_cost(self.per_label, worth, self.cost_weight)
        units, order = self.blocks(*self.units())
        order = in_step(units, order, self.cells[self.groups], self.per_cell(self.sizes))
        fits = fit(units, order, [(self.groups, self.limits)])
        order = order[fits[order]]
        search = Search(measure, target, units, order, self.coupling.count)
        least = search.after(fits)
        if not search.reached(least):
            most = measure.base / least if least else math.inf
            raise InfeasibleTarget(self.unreachable(measure.name, target, most))
        chosen = search.run()
        if self.rounding in ("up", "nearest"):
            short = search.stop_short()
            over = search.budget - search.after(chosen)
            if self.rounding == "up" or search.after(short) - search.budget < over:
                chosen = short
        if len(np.unique(self.cells)) == 1:
            chosen = search.put_back(chosen)
        return units.mark(chosen, self.coupling.count)

    def unreachable(self, name: str, target: float, most: float) -> str:
        """Say how far the target can be reached, and what stands in the way."""
        reasons = [*self.bounds, *self.scope.limits()]
        if self.multiple > 1:
            reasons.insert(0, f"round_to={self.multiple}")
        text = "; ".join(reasons) or "every axis must keep at least one index"
        return (
            f"{name}={target} cannot be reached: {name}={math.floor(most * 100) / 100} is "
            f"the most. What limits it: {text}"
        )


def per_cost(scores: np.ndarray, cost: np.ndarray, weight: float) -> np.ndarray:
    """Scores by what a channel costs: ``score / cost ** weight``, for each label.

    With a score that is the loss of accuracy and ``weight=1`` it is the rule for the knapsack
    problem of Dantzig ("Discrete-Variable Extremum Problems", 1957): the least loss per saving
    goes first. What has a score below zero is better gone, and first where it costs most.
    """
    usual = cost[cost > 0].mean() if (cost > 0).any() else 1.0
    factor = np.maximum(cost / usual, 1e-9) ** weight
    found: np.ndarray = np.where(scores < 0, scores * factor, scores / factor)
    return found
