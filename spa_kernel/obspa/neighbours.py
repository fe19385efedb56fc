"""What stands around a product in the graph: its bias, a BatchNorm, and a sum that it ends in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch

from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.obspa.products import sources
from spa_kernel.obspa.program import Program, State
from spa_kernel.products.ways import from_weights

TURNS = "Reshape", "Transpose", "Identity", "Dropout"


@dataclass(frozen=True, slots=True)
class Norm:
    """A BatchNorm: position in the graph, and the names of its tensors (empty: it has none)."""

    index: int
    weight: str
    bias: str
    mean: str
    variance: str
    epsilon: float


@dataclass(frozen=True, slots=True)
class Sum:
    """An addition of what a product ends up as and of another tensor.

    Attributes
    ----------
    index, position : int
        Of the addition, and which of its operands the other tensor is.
    """

    index: int
    position: int


@dataclass(slots=True)
class Neighbours:
    """What comes after a product on the way to a sum.

    Attributes
    ----------
    bias : str
        The name of the parameter that is added for each row; empty where there is none.
    norm : Norm or None
        A BatchNorm that the product alone feeds.
    scales : list of str
        Parameters that multiply the rows before the sum (layer scale).
    total : Sum or None
    """

    bias: str = ""
    norm: Norm | None = None
    scales: list[str] = field(default_factory=list)
    total: Sum | None = None


class Surroundings:
    """Finds the neighbours of products of a graph."""

    def __init__(self, graph: Graph) -> None:
        nodes = graph.nodes[: graph.evaluated]
        self._made = from_weights(nodes)
        self._readers: dict[Value, list[tuple[int, Node]]] = {}
        self._uses: dict[str, int] = {}
        self._outputs = set(graph.outputs)
        for index, node in enumerate(nodes):
            for value in node.inputs:
                if value is not None:
                    self._readers.setdefault(value, []).append((index, node))
                    if value.stored:
                        self._uses[value.name] = self._uses.get(value.name, 0) + 1

    def of(self, node: Node, rows: int) -> Neighbours:
        """The neighbours of a product with so many rows in all."""
        found = Neighbours()
        if len(node.inputs) > 2 and node.op != "Einsum":
            plain = node.attrs.get("beta", 1) == 1
            found.bias = self._row(node.inputs[2], rows) if plain else ""
            if node.inputs[2] is not None and not found.bias:
                return found
        value = node.outputs[0]
        while len(self._readers.get(value, ())) == 1 and value not in self._outputs:
            index, node = self._readers[value][0]
            others = [v for v in node.inputs if v is not None and v is not value]
            if node.op in TURNS:
                pass
            elif node.op == "BatchNormalization" and node.inputs[0] is value:
                if found.norm is not None or found.scales:
                    break
                found.norm = self.norm(index, node)
                mean = node.inputs[3]
                if found.norm is None or mean is None or mean.shape != (rows,):
                    found.norm = None
                    break
            elif node.op in ("Add", "Mul") and len(others) == 1:
                if node.attrs.get("alpha", 1) != 1:
                    break
                name = self._row(others[0], rows)
                if node.op == "Add" and not name and self._free(others[0]):
                    found.total = Sum(index, 1 if node.inputs[0] is value else 0)
                    break
                if not name:
                    break
                if node.op == "Mul":
                    found.scales.append(name)
                elif found.bias or found.norm or found.scales:
                    break
                else:
                    found.bias = name
            else:
                break
            value = node.outputs[0]
        return found

    def norm(self, index: int, node: Node) -> Norm | None:
        """A BatchNorm whose statistics are stored, and used here alone."""
        names = [v.name if v is not None and v.stored else "" for v in node.inputs[1:5]]
        given = [v is not None for v in node.inputs[1:3]]
        epsilon = node.attrs.get("epsilon")
        if not (names[2] and names[3]) or epsilon is None:
            return None
        if any(g and not n for g, n in zip(given, names, strict=False)):
            return None
        if any(self._uses[name] > 1 for name in names if name):
            return None
        return Norm(index, names[0], names[1], names[2], names[3], epsilon)

    def _row(self, value: Value | None, rows: int) -> str:
        """The parameter that a value is, with one entry a row, used here alone."""
        if value is None:
            return ""
        names = sources(value, self._made)
        name = next(iter(names)) if len(names) == 1 else ""
        shape = [n for n in value.shape if n != 1]
        plain = value.stored or (value in self._made and self._made[value].op == "Reshape")
        return name if name and plain and shape == [rows] and self._uses[name] == 1 else ""

    def _free(self, value: Value) -> bool:
        return not value.stored and value not in self._made and value.kind != "constant"


def scale(near: Neighbours, stored: dict[str, torch.Tensor], rows: torch.Tensor) -> torch.Tensor:
    """What rows of a product are multiplied by on the way to a sum: float64, one per row."""
    found = torch.ones(len(rows), dtype=torch.float64)

    def of(name: str) -> torch.Tensor:
        return stored[name].double().flatten().cpu()[rows]

    if near.norm is not None:
        found = found / (of(near.norm.variance) + near.norm.epsilon).sqrt()
        if near.norm.weight:
            found = found * of(near.norm.weight)
    for name in near.scales:
        found = found * of(name)
    return found


def turned_back(
    program: Program, state: State, total: Sum, product: int, stream: torch.Tensor
) -> torch.Tensor | None:
    """What is added to what a product ends up as, laid out as the product's own output."""
    addition, _ = program.node(state, total.index)
    makers = program.makers(state)
    wanted = program.node(state, product)[0].outputs[0]
    value = addition.inputs[1 - total.position]
    assert value is not None
    if stream.shape != value.shape:
        return None
    while value is not wanted:
        node = makers[value]
        source = next((v for v in node.inputs if v is not None and v in makers), None)
        if source is None:
            return None
        if node.op == "Reshape":
            stream = stream.reshape(source.shape)
        elif node.op == "Transpose":
            stream = stream.permute(np.argsort(node.attrs["perm"]).tolist())
        value = source
    return stream
