"""From a target to a plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Graph
from spa_kernel.plan.arguments import (
    check_cost_weight,
    check_target,
    check_widths,
    check_within,
    largest_ratios,
    per_group,
)
from spa_kernel.plan.cells import Spread, find_cells
from spa_kernel.plan.choose import Choice
from spa_kernel.plan.cost import CostModel, Quantity
from spa_kernel.plan.measure import Measure
from spa_kernel.plan.plan import Plan
from spa_kernel.plan.rounding import Rounding
from spa_kernel.plan.scope import choose_scope
from spa_kernel.plan.task import Task
from spa_kernel.plan.text import plain

__all__ = ["Rounding", "Spread", "make_plan"]


def make_plan(
    graph: Graph,
    coupling: Coupling,
    cost: CostModel,
    scores: Mapping[str, np.ndarray],
    *,
    ratio: float | Mapping[str, float] | None = None,
    flops: float | None = None,
    params: float | None = None,
    latency: float | None = None,
    memory: float | None = None,
    table: Measure | None = None,
    scope: Spread = "global",
    groups: Choice = None,
    exclude: Choice = None,
    round_to: int | None = None,
    rounding: Rounding | None = None,
    max_ratio: float | Mapping[str, float] = 0.9,
    min_width: int = 1,
    cost_weight: float = 0.0,
    earlier: Mapping[str, int] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Plan:
    """Choose the coupled channels that go.

    Parameters
    ----------
    graph : Graph
    coupling : Coupling
    cost : CostModel
    scores : mapping of str to numpy.ndarray
        Group id to one score per coupled channel; the lowest go first. Groups that are missing
        stay whole.
    ratio : float or mapping of str to float, optional
        Fraction of coupled channels that go, from 0 up to 1 (without it), of each cell of
        ``scope`` (rounded down). Where constraints or limits do not allow it exactly, the nearest
        number below. A mapping gives each group its own, by id, name or glob; ``"*"`` stands for
        all others, and groups that it does not name stay whole.
    flops, params, latency, memory : float, optional
        Base divided by pruned count, 1 or more; reached, and exceeded as little as possible.
    table : Measure, optional
        What ``latency`` is measured with.
    scope : {"global", "local", "isomorphic"} or mapping
        Whose channels compete with each other: all, those of each group, those of groups of
        equal structure (Isomorphic Pruning, arXiv 2407.04616), or those of the groups that a
        mapping names (``{"early": ["layer1*", "g2"]}``; other groups stay whole). Each such cell
        loses the same fraction of its channels, its lowest scores first.
    groups : str, Group or iterable of these, optional
        Ids, names or globs: only these groups, and groups that constraints tie to them.
    exclude : str, Group or iterable of these, optional
        Ids, names, parameters, modules or globs: groups with a matching member stay.
    round_to : int, optional
        A group that loses channels keeps a positive multiple of this.
    rounding : {"nearest", "up", "down"}, optional
        With ``ratio`` (default ``"nearest"``): the multiple that a width becomes, the one above
        or the one below. With other targets (default ``"down"``): whether the widths stop short
        of the target (``"up"``), reach it (``"down"``), or do what comes closer.
    max_ratio : float or mapping of str to float
        The largest fraction that any group may lose, in (0, 1]; as a mapping by id, name or glob,
        ``"*"`` for all others (0.9 without it).
    min_width : int
        No group keeps fewer channels; smaller ones stay whole.
    cost_weight : float
        With targets other than ``ratio``: channels are ranked by ``score / cost ** cost_weight``,
        with the cost of a channel in what the target counts. 0 is by score alone, 1 by score per
        saving, for scores that estimate the loss of accuracy.
    earlier : mapping of str to int, optional
        Group id to the number of channels that it has lost already: ``ratio`` and ``max_ratio``
        then count from before that.
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
    targets = {
        "ratio": ratio,
        "flops": flops,
        "params": params,
        "latency": latency,
        "memory": memory,
    }
    noted = {
        **targets,
        "scope": scope,
        "groups": groups,
        "exclude": exclude,
        "round_to": round_to,
        "rounding": rounding,
        "max_ratio": max_ratio,
        "min_width": min_width,
        "cost_weight": cost_weight,
        **(settings or {}),
    }
    name, value = check_target({k: v for k, v in targets.items() if v is not None})
    check_widths(round_to, rounding, min_width)
    check_cost_weight(cost_weight, name)
    every, cells = coupling.groups, find_cells(coupling, scope)
    most = largest_ratios(every, max_ratio)
    named = cells >= 0
    ratios = np.full(len(every), np.nan)
    if isinstance(value, Mapping):
        if scope not in ("global", "local"):
            raise InfeasibleTarget(
                f"ratio for single groups leaves nothing to compare: leave scope={scope!r} out"
            )
        cells, ratios = np.arange(len(every)), per_group(every, value, "ratio")
        named = ratios > 0
    if name == "ratio":
        check_within(every, value, ratios, most)
    criterion = str(noted.get("criterion", "chosen"))
    chosen = choose_scope(coupling, groups, exclude, named, scores, criterion)
    task = Task.prepare(coupling, cost.axes, scores, chosen, cells)
    task.lost = np.array([(earlier or {}).get(g.id, 0) for g in every], dtype=np.int64)
    task.limits = np.clip(np.minimum(task.portions(most), task.sizes - min_width), 0, None)
    task.multiple, task.rounding, task.cost_weight = round_to or 1, rounding, cost_weight
    task.bounds = (
        [f"max_ratio={max_ratio} (no group loses more)"] if most.min(initial=1) < 1 else []
    )
    task.bounds += [f"min_width={min_width}"] if min_width > 1 else []
    if value == 0 or (isinstance(value, Mapping) and not named.any()):
        removed = np.zeros(coupling.count, dtype=bool)
    elif isinstance(value, Mapping):
        # Groups without a ratio may have to go with others.
        removed = task.by_quota(task.portions(np.where(np.isnan(ratios), 1.0, ratios)))
    elif name == "ratio":
        removed = task.by_quota(task.shares(value))
    else:
        removed = task.by_cost(chosen_measure(cost, name, table), value)
    return Plan.from_mask(coupling, cost, removed, plain(noted))


def chosen_measure(cost: CostModel, name: str, table: Measure | None) -> Measure:
    """The measure of a budget."""
    if name != "latency":
        return cost.measure(cast(Quantity, name))
    if table is None:
        raise InfeasibleTarget(
            "latency: a table of times measured on this machine is needed; give table="
        )
    return table
