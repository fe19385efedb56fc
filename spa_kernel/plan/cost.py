"""What a network costs before and after a prune: exact FLOPs and parameter counts."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Axis, Graph
from spa_kernel.graph.operators import OPERATORS
from spa_kernel.plan.axes import DistinctAxes

Quantity = Literal["flops", "params"]


@dataclass(frozen=True, slots=True)
class NodeCost:
    """FLOPs of one operator, before and after."""

    name: str
    op: str
    before: int
    after: int


class Terms:
    """A sum of products of axis sizes.

    Parameters
    ----------
    axes : DistinctAxes
    products : iterable of (int, list of Axis)
        Constant and axes of each product.
    """

    def __init__(self, axes: DistinctAxes, products: Iterable[tuple[int, Iterable[Axis]]]) -> None:
        rows: list[tuple[int, ...]] = []
        constants: list[int] = []
        for constant, factors in products:
            row: list[int] = []
            for value, axis in factors:
                number = axes.number.get((value, axis))
                if number is None:
                    constant *= value.shape[axis]
                else:
                    row.append(number)
            rows.append(tuple(sorted(row)))
            constants.append(int(constant))
        width = max(map(len, rows), default=0)
        # One distinct axis more, of size 1, fills up the shorter products.
        fill = len(axes.lengths)
        self.factors = np.array(
            [row + (fill,) * (width - len(row)) for row in rows], dtype=np.int64
        ).reshape(len(rows), width)
        full = [*axes.lengths.tolist(), 1]
        largest = sum(
            c * math.prod(full[f] for f in row) for c, row in zip(constants, rows, strict=True)
        )
        # Python integers where the sum would not fit: slow, but right.
        self.dtype = np.dtype(np.int64) if largest < 2**62 else np.dtype(object)
        self.constants = np.array(constants, dtype=self.dtype)

    def each(self, sizes: np.ndarray) -> np.ndarray:
        """Every product, for the sizes of the distinct axes."""
        total = self.constants.copy()
        padded = np.append(sizes, 1).astype(self.dtype)
        for column in self.factors.T:
            total = total * padded[column]
        return total

    def slope(self, sizes: np.ndarray) -> np.ndarray:
        """float64 derivative of the sum by the size of each distinct axis."""
        padded = np.append(sizes, 1).astype(np.float64)
        slope = np.zeros(len(padded))
        for own, column in enumerate(self.factors.T):
            product = self.constants.astype(np.float64)
            for other, factor in enumerate(self.factors.T):
                if other != own:
                    product = product * padded[factor]
            slope += np.bincount(column, product, minlength=len(padded))
        return slope[:-1]


class CostModel:
    """Predicts costs of a pruned network without building it.

    FLOPs are counted as ``torch.utils.flop_counter`` does: matrix products and convolutions,
    two per multiply-add; operators without a formula cost nothing. A formula is a constant times
    sizes of axes, so the prediction is exact.

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
        self._count = coupling.count
        self._nodes: list[tuple[str, str]] = []
        products: list[tuple[int, list[Axis]]] = []
        for node in graph.nodes[: graph.evaluated]:
            known = OPERATORS.get(node.op)
            if known is not None and known.flops is not None:
                constant, axes = known.flops(node)
                products.append((constant, list(axes)))
                self._nodes.append((node.name, node.op))
        self._flops = Terms(self.axes, products)
        self._params = Terms(
            self.axes, [(1, [(v, a) for a in range(v.ndim)]) for v in graph.parameters]
        )
        nothing = np.zeros(self._count, dtype=bool)
        self.base = (self.flops(nothing), self.params(nothing))

    def flops(self, removed: np.ndarray) -> int:
        """FLOPs of one forward with the example input, after removing labels (bool mask)."""
        return self.count("flops", removed)

    def params(self, removed: np.ndarray) -> int:
        """Elements of all parameters (not buffers) after removing labels (bool mask)."""
        return self.count("params", removed)

    def count(self, quantity: Quantity, removed: np.ndarray) -> int:
        """`flops` or `params` by name."""
        terms = self._terms(quantity)
        return int(terms.each(self.axes.sizes(self._checked(removed))).sum())

    def slope(self, quantity: Quantity, removed: np.ndarray) -> np.ndarray:
        """First-order cost of each label: what removing it would save, or putting it back cost.

        Returns
        -------
        numpy.ndarray
            float64, one per label. Costs are products of sizes, so for one label this is never
            less than the true saving, and never more than the true cost of putting it back.
        """
        sizes = self.axes.sizes(self._checked(removed))
        return self.axes.weigh(removed, self._terms(quantity).slope(sizes))

    def table(self, removed: np.ndarray | None = None) -> list[NodeCost]:
        """FLOPs of every operator that costs any, in the order of execution."""
        nothing = np.zeros(self._count, dtype=bool)
        before = self._flops.each(self.axes.sizes(nothing))
        after = self._flops.each(
            self.axes.sizes(self._checked(nothing if removed is None else removed))
        )
        return [
            NodeCost(name, op, int(b), int(a))
            for (name, op), b, a in zip(self._nodes, before, after, strict=True)
        ]

    def _terms(self, quantity: Quantity) -> Terms:
        return self._flops if quantity == "flops" else self._params

    def _checked(self, removed: np.ndarray) -> np.ndarray:
        if removed.shape != (self._count,) or removed.dtype != np.bool_:
            raise ValueError(
                f"removed must be a bool array of shape ({self._count},), one per label, not "
                f"{removed.dtype} of shape {removed.shape}"
            )
        return removed
