"""From a target to a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Graph
from spa_kernel.plan.choose import Choice
from spa_kernel.plan.cost import CostModel, Quantity
from spa_kernel.plan.limits import (
    fit,
    in_step,
    multiples,
    never_empty,
    portion,
    round_to_blocks,
)
from spa_kernel.plan.plan import Plan
from spa_kernel.plan.scope import Scope, choose_scope
from spa_kernel.plan.search import Search
from spa_kernel.plan.text import plain
from spa_kernel.plan.units import Units, label_groups, make_units

Spread = Literal["global", "local", "isomorphic"] | Mapping[str, Choice]
"""Which channels are compared with each other; or named scopes, each of some groups."""

Rounding = Literal["nearest", "up", "down"]


def make_plan(
    graph: Graph,
    coupling: Coupling,
    cost: CostModel,
    scores: Mapping[str, np.ndarray],
    *,
    ratio: float | None = None,
    flops: float | None = None,
    params: float | None = None,
    memory: float | None = None,
    scope: Spread = "global",
    groups: Choice = None,
    exclude: Choice = None,
    round_to: int | None = None,
    rounding: Rounding | None = None,
    max_ratio: float | Mapping[str, float] = 0.9,
    min_width: int = 1,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Choose the coupled channels that go.

    Parameters
    ----------
    graph : Graph
    coupling : Coupling
    cost : CostModel
    scores : mapping of str to numpy.ndarray
        Group id to one score per coupled channel; the lowest go first.
    ratio : float, optional
        Fraction of coupled channels that go, from 0 up to 1 (without it): of each prunable group
        (rounded down) for ``scope="local"``, of all of them together for ``scope="global"``.
        Where constraints or limits do not allow it exactly, the nearest number below.
    flops, params : float, optional
        Base divided by pruned count, 1 or more; reached, and exceeded as little as possible.
    scope : {"global", "local"}
        By score over all groups, or all groups in step.
    groups : str, Group or iterable of these, optional
        Ids, names or globs: only these groups, and groups that constraints tie to them.
    exclude : str, Group or iterable of these, optional
        Ids, names, parameters, modules or globs: groups with a matching member stay.
    round_to : int, optional
        A group that loses channels keeps a positive multiple of this.
    max_ratio : float
        The largest fraction that any group may lose, in (0, 1].
    settings : mapping, optional
        Noted in the plan, together with the arguments above.

    Returns
    -------
    Plan
        Satisfies every constraint; leaves every axis at least one index.

    Raises
    ------
    InfeasibleTarget
        Not exactly one target, a value out of range, an unknown name, or a target that cannot be
        reached: the message gives the largest reachable value and what limits it.
    """
    targets = {"ratio": ratio, "flops": flops, "params": params}
    given = {name: value for name, value in targets.items() if value is not None}
    check_arguments(given, scope, round_to, max_ratio)
    task = Task.prepare(coupling, cost, scores, choose_scope(coupling, groups, exclude))
    task.scope_name, task.multiple, task.max_ratio = scope, round_to or 1, max_ratio
    ((name, value),) = given.items()
    if name == "ratio":
        removed = task.by_ratio(value)
    else:
        removed = task.by_cost("flops" if name == "flops" else "params", value)
    noted = {
        **targets,
        "scope": scope,
        "groups": groups,
        "exclude": exclude,
        "round_to": round_to,
        "max_ratio": max_ratio,
        **(settings or {}),
    }
    return Plan.from_mask(coupling, cost, removed, plain(noted))


def check_arguments(
    given: Mapping[str, Any], scope: str, round_to: int | None, max_ratio: float
) -> None:
    """Raise `InfeasibleTarget` where an argument cannot be meant."""
    if len(given) != 1:
        found = f"got {' and '.join(given)}" if given else "got none"
        raise InfeasibleTarget(f"give exactly one of ratio, flops and params: {found}")
    ((name, value),) = given.items()
    if not number(value):
        raise InfeasibleTarget(f"{name}={value!r} is not a number")
    if name == "ratio" and not 0 <= value < 1:
        raise InfeasibleTarget(
            f"ratio={value}: the fraction that goes is from 0 up to 1, such as ratio=0.5"
        )
    if name != "ratio" and not value >= 1:
        raise InfeasibleTarget(
            f"{name}={value}: this is how many times smaller, 1 or more, such as {name}=2.0"
        )
    if scope not in ("global", "local"):
        raise InfeasibleTarget(f"scope={scope!r}: use 'global' or 'local'")
    if round_to is not None and (
        isinstance(round_to, bool) or not isinstance(round_to, int | np.integer) or round_to < 1
    ):
        raise InfeasibleTarget(f"round_to={round_to!r}: use a whole number of 1 or more")
    if not number(max_ratio) or not 0 < max_ratio <= 1:
        raise InfeasibleTarget(f"max_ratio={max_ratio!r}: use more than 0 and at most 1")
    if name == "ratio" and value > max_ratio:
        raise InfeasibleTarget(
            f"ratio={value} is more than max_ratio={max_ratio}, the most that any group may lose: "
            "give a larger max_ratio"
        )


def number(value: Any) -> bool:
    """Whether a value is a finite real number."""
    real = isinstance(value, int | float | np.integer | np.floating)
    return real and not isinstance(value, bool) and math.isfinite(value)


@dataclass(slots=True)
class Task:
    """All that a target is looked for with; arrays as in `make_plan` and `Units`."""

    coupling: Coupling
    cost: CostModel
    per_label: np.ndarray
    groups: np.ndarray
    sizes: np.ndarray
    scope: Scope
    scope_name: Spread = "global"
    multiple: int = 1
    max_ratio: float = 0.9

    @classmethod
    def prepare(
        cls,
        coupling: Coupling,
        cost: CostModel,
        scores: Mapping[str, np.ndarray],
        scope: Scope,
    ) -> Task:
        per_label = np.zeros(coupling.count)
        for group in coupling.groups:
            own = np.asarray(scores.get(group.id, ()), dtype=np.float64)
            if own.shape != (group.size,) or not np.isfinite(own).all():
                raise InfeasibleTarget(
                    f"scores of {group.id} ({group.name}) must be {group.size} finite numbers, "
                    f"one per coupled channel; got shape {list(own.shape)}"
                )
            per_label[group.labels] = own
        sizes = np.array([g.size for g in coupling.groups], dtype=np.int64)
        return cls(coupling, cost, per_label, label_groups(coupling), sizes, scope)

    def units(self) -> tuple[Units, np.ndarray]:
        """The units that may go together without emptying an axis, and their order by score."""
        units = make_units(self.coupling, self.per_label, self.scope.available, self.scope.wanted)
        order = np.argsort(units.score, kind="stable")
        allowed = never_empty(self.cost.axes, units, order)
        self.scope.check_reach(units.labels[allowed[units.owner]])
        return units, order[allowed[order]]

    def in_order(self, units: Units, order: np.ndarray) -> np.ndarray:
        """The order in which the scope takes units, from the order by score."""
        if self.scope_name == "global":
            return order
        return in_step(units, order, self.groups, self.sizes)

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

    def limits(self, ratio: float) -> np.ndarray:
        return np.array([portion(int(n), ratio) for n in self.sizes], dtype=np.int64)

    def by_ratio(self, ratio: float) -> np.ndarray:
        """Bool mask over labels for ``ratio=``."""
        if ratio == 0:
            return np.zeros(self.coupling.count, dtype=bool)
        units, order = self.units()
        if self.scope_name == "local":
            limits, most = self.limits(ratio), None
        else:
            total = int(self.sizes[np.unique(self.groups[self.scope.wanted])].sum())
            limits, most = self.limits(self.max_ratio), portion(total, ratio)
        chosen = fit(units, order, self.groups, limits, most)
        if self.multiple > 1:
            lost = np.bincount(
                self.groups[units.labels[chosen[units.owner]]], minlength=len(self.sizes)
            )
            limits = np.minimum(self.rounded(lost), self.limits(self.max_ratio))
            units, order = self.blocks(units, order)
            chosen = fit(units, order, self.groups, limits)
        return units.mark(chosen, self.coupling.count)

    def rounded(self, lost: np.ndarray) -> np.ndarray:
        """Losses after which each width is the nearest multiple, or what it was."""
        width, multiple = self.sizes - lost, self.multiples()
        down = np.maximum(width // multiple, 1) * multiple
        up = np.minimum(down + multiple, self.sizes)
        nearest = np.where(width - down < up - width, down, up)
        rounded: np.ndarray = np.maximum(self.sizes - nearest, 0)
        return rounded

    def by_cost(self, quantity: Quantity, target: float) -> np.ndarray:
        """Bool mask over labels for ``flops=`` or ``params=``."""
        nothing = np.zeros(self.coupling.count, dtype=bool)
        base = self.cost.count(quantity, nothing)
        if target == 1 or base == 0:
            return nothing
        units, order = self.blocks(*self.units())
        order = self.in_order(units, order)
        fits = fit(units, order, self.groups, self.limits(self.max_ratio))
        order = order[fits[order]]
        search = Search(self.cost, quantity, target, units, order)
        least = search.after(fits)
        if not search.reached(least):
            raise InfeasibleTarget(self.unreachable(quantity, target, base / max(least, 1)))
        chosen = search.run()
        if self.scope_name == "global":
            chosen = search.put_back(chosen)
        return units.mark(chosen, self.coupling.count)

    def unreachable(self, quantity: Quantity, target: float, most: float) -> str:
        """Say how far the target can be reached, and what stands in the way."""
        reasons = []
        if self.max_ratio < 1:
            reasons.append(f"max_ratio={self.max_ratio} (no group loses more)")
        if self.multiple > 1:
            reasons.append(f"round_to={self.multiple}")
        reasons += self.scope.limits()
        text = "; ".join(reasons) or "every axis must keep at least one index"
        return (
            f"{quantity}={target} cannot be reached: {quantity}={math.floor(most * 100) / 100} is "
            f"the most. What limits it: {text}"
        )
