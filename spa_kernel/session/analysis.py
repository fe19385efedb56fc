"""What is known of a model in one state: its graph, coupling and cost."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.coupling.solver import couple, hold, hold_groups
from spa_kernel.frontends.backend import Backend
from spa_kernel.graph.ir import Graph, Node
from spa_kernel.plan import CostModel
from spa_kernel.session.hypotheses import believed


@dataclass(frozen=True)
class Analysis:
    """Graph, coupled channels and cost of a model as it is."""

    graph: Graph
    coupling: Coupling

    @cached_property
    def cost(self) -> CostModel:
        """FLOPs and parameters, now and after any prune."""
        return CostModel(self.graph, self.coupling)

    def hold(self, nodes: Iterable[Node], reason: str) -> bool:
        """Freeze what could not follow a prune, see `spa_kernel.coupling.solver.hold`."""
        # Labels may be other ones afterwards.
        self.__dict__.pop("cost", None)
        return hold(self.coupling, nodes, reason)

    def hold_groups(self, groups: Iterable[Group], reason: str) -> None:
        """Freeze groups that could not follow a prune."""
        self.__dict__.pop("cost", None)
        hold_groups(self.coupling, groups, reason)

    @classmethod
    def of(cls, backend: Backend) -> Analysis:
        """Capture and couple the backend's current model; nothing is changed."""
        with uncollected():
            progress.report("capturing")
            graph = backend.capture()
            progress.report("coupling")
            coupling = couple(graph)
            if coupling.doubtful:
                coupling = believed(backend, graph, coupling)
            return cls(graph, coupling)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection: an analysis makes many small objects, and all of them stay."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
