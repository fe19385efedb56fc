"""What a network costs before and after a prune: exact FLOPs, parameters, activation memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Axis, Graph, Node, Value
from spa_kernel.graph.operators import OPERATORS
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.measure import Measure
from spa_kernel.plan.memory import PeakMemory
from spa_kernel.plan.terms import Terms

Quantity = Literal["flops", "params", "memory"]


@dataclass(frozen=True, slots=True)
class NodeCost:
    """FLOPs of one operator, before and after."""

    name: str
    op: str
    before: int
    after: int


class Total:
    """A cost that is a sum over operators or tensors, as a `Measure`."""

    def __init__(self, name: str, axes: DistinctAxes, terms: Terms) -> None:
        self.name, self.axes, self.terms = name, axes, terms
        self.base = self.count(np.zeros(axes.count, dtype=bool))

    def each(self, removed: np.ndarray) -> np.ndarray:
        """Every summand."""
        return self.terms.each(self.axes.sizes(removed))

    def count(self, removed: np.ndarray) -> int:
        """The sum."""
        return int(self.each(removed).sum())

    def slope(self, removed: np.ndarray) -> np.ndarray:
        """See `Measure.slope`: a sum of products of sizes curves upwards."""
        return self.axes.weigh(removed, self.terms.slope(self.axes.sizes(removed)))


class CostModel:
    """Predicts costs of a pruned network without building it.

    FLOPs are counted as ``torch.utils.flop_counter`` does: matrix products and convolutions,
    two per multiply-add; operators without a formula cost nothing. Memory is that of
    `spa_kernel.plan.memory`. All are constants times sizes of axes, so predictions are exact.

    Parameters
    ----------
    graph : Graph
    coupling : Coupling

    Attributes
    ----------
    base : tuple of int
        FLOPs and parameters of the network as it is.
    """

    def __init__(self, graph: Graph, coupling: Coupling) -> None:
        self.axes = DistinctAxes(coupling)
        self._graph = graph
        self._nodes: list[Node] = []
        products: list[tuple[int, list[Axis]]] = []
        for node in graph.nodes[: graph.evaluated]:
            known = OPERATORS.get(node.op)
            if known is not None and known.flops is not None:
                constant, axes = known.flops(node)
                products.append((constant, list(axes)))
                self._nodes.append(node)
        self._flops = Total("flops", self.axes, Terms(self.axes, products))
        stored = [(1, [(v, a) for a in range(v.ndim)]) for v in graph.parameters]
        self._params = Total("params", self.axes, Terms(self.axes, stored))
        self.base = (self._flops.base, self._params.base)

    @cached_property
    def _memory(self) -> PeakMemory:
        """Built when it is first asked for: an analysis does not need it."""
        return PeakMemory(self._graph, self.axes)

    def measure(self, quantity: Quantity) -> Measure:
        """One cost, for any choice of what goes.

        Parameters
        ----------
        quantity : {"flops", "params", "memory"}
            FLOPs of one forward with the example input; elements of all parameters (not
            buffers); bytes of activations at the worst moment of that forward.
        """
        if quantity == "memory":
            return self._memory
        return self._flops if quantity == "flops" else self._params

    def flops(self, removed: np.ndarray) -> int:
        """FLOPs of one forward with the example input, after removing labels (bool mask)."""
        return self._flops.count(removed)

    def params(self, removed: np.ndarray) -> int:
        """Elements of all parameters (not buffers) after removing labels (bool mask)."""
        return self._params.count(removed)

    def memory(self, removed: np.ndarray) -> int:
        """Bytes of activations at the worst moment, after removing labels (bool mask)."""
        return self._memory.count(removed)

    def table(self, removed: np.ndarray | None = None) -> list[NodeCost]:
        """FLOPs of every operator that costs any, in the order of execution."""
        return [
            NodeCost(node.name, node.op, before, after)
            for (node, before), (_, after) in zip(
                self.operators(), self.operators(removed), strict=True
            )
        ]

    def operators(self, removed: np.ndarray | None = None) -> list[tuple[Node, int]]:
        """FLOPs of every operator that costs any, in the order of execution; their sum is all."""
        each = self._flops.each(self._mask(removed))
        return list(zip(self._nodes, map(int, each), strict=True))

    def tensors(self, removed: np.ndarray | None = None) -> list[tuple[Value, int]]:
        """Elements of every parameter, in the model's order; their sum is all."""
        each = self._params.each(self._mask(removed))
        return list(zip(self._graph.parameters, map(int, each), strict=True))

    def _mask(self, removed: np.ndarray | None) -> np.ndarray:
        return np.zeros(self.axes.count, dtype=bool) if removed is None else removed
