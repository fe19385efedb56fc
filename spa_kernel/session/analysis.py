"""What is known of a model in one state: its graph, coupling and cost."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling
from spa_kernel.coupling.solver import couple
from spa_kernel.frontends.backend import Backend
from spa_kernel.graph.ir import Graph
from spa_kernel.plan import CostModel


@dataclass(frozen=True)
class Analysis:
    """Graph, coupled channels and cost of a model as it is."""

    graph: Graph
    coupling: Coupling

    @cached_property
    def cost(self) -> CostModel:
        """FLOPs and parameters, now and after any prune."""
        return CostModel(self.graph, self.coupling)

    @classmethod
    def of(cls, backend: Backend) -> Analysis:
        """Capture and couple the backend's current model; nothing is changed."""
        with uncollected():
            progress.report("capturing")
            graph = backend.capture()
            progress.report("coupling")
            coupling = couple(graph)
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
