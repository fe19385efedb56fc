"""Numbers that look as if they were written in the code, but follow a prune by themselves.

Python loses track of where a number comes from: ``int(c * 0.5)``, ``math.prod(x.shape[1:])``, a
library that computes sizes of its own. Such a number holds its channels at first. Here some of
them are taken out for trial, unevenly, and the forward is read once more: what comes out as long
as foretold follows by itself. Every prune is checked in the same way, so that a number that
followed in the trial only is found then, and holds its channels after all.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from spa_kernel.coupling.equations import attributes
from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.coupling.solver import couple
from spa_kernel.errors import InfeasibleTarget, SpaError
from spa_kernel.frontends.backend import Backend
from spa_kernel.graph.ir import Graph
from spa_kernel.graph.sizes import Const, SizeUse
from spa_kernel.plan import CostModel, make_plan

MOST = 16
"""Lines of code that are tried one by one, where not all of them follow."""

ROUNDS = 2
RATIO = 0.4


def line(use: SizeUse) -> str:
    """The place in the code, the same for all modules that share it."""
    return use.where.rpartition("(")[2] or use.where


def believed(backend: Backend, graph: Graph, coupling: Coupling) -> Coupling:
    """The coupling with all sizes left out that follow by themselves; ``graph.sizes`` as well."""
    for _ in range(ROUNDS):
        lines = list(dict.fromkeys(map(line, coupling.doubtful)))
        new = _without(backend, graph, coupling, lines)
        if new is coupling and len(lines) > 1:
            for one in lines[:MOST]:
                coupling = _without(backend, graph, coupling, [one])
            return coupling
        if new is coupling:
            return coupling
        coupling = new
    return coupling


def _without(backend: Backend, graph: Graph, old: Coupling, lines: list[str]) -> Coupling:
    """The coupling without the plain numbers of some lines, if the forward bears that out.

    Or with an attribute of the same module that holds the same number in their place.
    """
    before = graph.sizes
    held = {tuple(g.members): g.size for g in old.groups if g.prunable}
    here = {u for u in before if isinstance(u.expr, Const) and line(u) in lines}
    for _ in range(ROUNDS):
        graph.sizes = [u for u in before if u not in here]
        new = couple(graph)
        # Behind one number that holds channels there may be another one that holds the same.
        further = set(map(line, new.doubtful)) - set(lines)
        if any(g.prunable and held.get(tuple(g.members)) != g.size for g in new.groups):
            break
        here |= {u for u in before if isinstance(u.expr, Const) and line(u) in further}
    for sizes in graph.sizes, [named(u, before) if u in here else u for u in before]:
        graph.sizes = sizes
        new = couple(graph)
        groups = [g for g in new.groups if g.prunable and held.get(tuple(g.members)) != g.size]
        if groups and sizes != before and in_the_way(backend, new, groups) is None:
            return new
    graph.sizes = before
    return old


def named(use: SizeUse, uses: list[SizeUse]) -> SizeUse:
    """A plain number as the one attribute of its module that is a size elsewhere, and equal."""
    equal = {
        attr
        for other in uses
        for attr in attributes(other.expr)
        if attr.value == use.expr.value and f" in {attr.owner} (" in use.where
    }
    return replace(use, expr=equal.pop()) if len(equal) == 1 else use


def in_the_way(backend: Backend, coupling: Coupling, groups: list[Group]) -> SpaError | None:
    """What keeps the forward from following when some of these groups' channels go."""
    rng = np.random.default_rng(0)
    scores = {g.id: rng.random(g.size) for g in coupling.groups}
    cost = CostModel(coupling.graph, coupling)
    try:
        # Over all groups together, so that each loses another part of its channels.
        plan = make_plan(coupling.graph, coupling, cost, scores, ratio=RATIO, groups=groups)
    except InfeasibleTarget as error:
        return error
    removed = plan.mask(coupling)
    if not removed.any():
        return InfeasibleTarget("none of these channels can go")
    return backend.follows(coupling, removed)


def culprits(backend: Backend, coupling: Coupling, groups: list[Group]) -> list[Group]:
    """Groups whose channels the forward does not follow."""
    # In a trial of all of them together, small groups may not lose anything.
    return halved(backend, coupling, groups) or [
        group for group in groups if in_the_way(backend, coupling, [group]) is not None
    ]


def halved(backend: Backend, coupling: Coupling, groups: list[Group]) -> list[Group]:
    """The same, as far as halving finds them."""
    if in_the_way(backend, coupling, groups) is None:
        return []
    if len(groups) == 1:
        return groups
    middle = len(groups) // 2
    found = halved(backend, coupling, groups[:middle])
    found += halved(backend, coupling, groups[middle:])
    # Each half for itself is followed, both together are not: one of them has to stay.
    return found or groups[middle:]
