"""The products of a network that read a weight: whose columns can go, and with which channels."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.obspa.program import Program, State
from spa_kernel.products.uses import (
    CONVOLUTIONS,
    PRODUCTS,
    Use,
    axes_of,
    convolved,
    letters,
    multiplied,
)
from spa_kernel.products.ways import Way, back, from_weights, pure, ways

NONE = -1
"""Stands for an index that no label takes away."""


@dataclass(frozen=True, slots=True)
class Product:
    """One operator that multiplies its inputs by a weight.

    Attributes
    ----------
    index : int
        Position of the operator in the graph.
    position : int
        Which of its operands the weight is.
    way : Way
        How the weight is made of a parameter.
    alone : bool
        Whether nothing else uses these entries of the parameter, so that they can be chosen to
        suit this product.
    """

    index: int
    node: Node
    position: int
    way: Way
    alone: bool

    @property
    def place(self) -> tuple[int, int]:
        """Names the product among all of a graph."""
        return self.index, self.position


def products(graph: Graph) -> list[Product]:
    """All products of a graph, in order, whose weight is a parameter but for moves of entries."""
    nodes = graph.nodes[: graph.evaluated]
    made, uses = from_weights(nodes), Counter[str]()
    found: list[tuple[int, Node, int, Way]] = []
    entries: dict[str, list[torch.Tensor]] = {}
    for index, node in enumerate(nodes):
        if made.keys() >= {*node.outputs}:
            continue
        for position, operand in enumerate(node.inputs):
            if operand is None:
                continue
            uses.update(sources(operand, made))
            known = list(ways(operand, made)) if position in places(node) else []
            if len(known) == 1 and pure(known[0]):
                found.append((index, node, position, known[0]))
                once = back(torch.ones(operand.shape), known[0])
                entries.setdefault(known[0].parameter, []).append(once)
    single = {
        name
        for name, marked in entries.items()
        if uses[name] == len(marked) and bool(torch.stack(marked).sum(0).max() <= 1)
    }
    return [Product(i, node, at, way, way.parameter in single) for i, node, at, way in found]


def sources(value: Value, made: dict[Value, Node]) -> set[str]:
    """The stored tensors that a value is worked out from, where it depends on nothing else."""
    if value.stored:
        return {value.name}
    inputs = made[value].inputs if value in made else ()
    return {name for v in inputs if v is not None for name in sources(v, made)}


def places(node: Node) -> range:
    """The operands that can be the weight."""
    if node.op in CONVOLUTIONS:
        return range(1, 2)
    return range(len(letters(node)[0]) if node.op in PRODUCTS else 0)


def use_of(program: Program, state: State, product: Product) -> Use | None:
    """The product as it works on a batch; ``None`` where its inputs are not seen."""
    node, made = program.node(state, product.index)
    position = next(
        (
            p
            for p in places(node)
            if (v := node.inputs[p]) is not None
            and any(w.parameter == product.way.parameter for w in ways(v, made))
        ),
        None,
    )
    if position is None:
        return None
    weight = node.inputs[position]
    assert weight is not None
    if node.op in CONVOLUTIONS:
        x = program.operand(state, product.index, 0)
        return None if x is None else convolved(wide(x), weight.shape, node.attrs["geometry"])
    terms, out = letters(node)
    rest = [i for i in range(len(terms)) if i != position]
    others = [program.operand(state, product.index, i) for i in rest]
    seen = [wide(x) for x in others if x is not None]
    if len(seen) < len(rest):
        return None
    own = terms[position]
    return multiplied(seen, weight.shape, own, [terms[i] for i in rest], out)


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def column_labels(product: Product, coupling: Coupling) -> np.ndarray:
    """Labels that take away a column of W: int64 (G, D, k), `NONE` where there are fewer.

    A label that takes all rows of a block with it is left out: there is nothing left to lose.
    """
    node = product.node
    if node.op in CONVOLUTIONS:
        x, weight = node.inputs[:2]
        assert x is not None and weight is not None
        groups, area = node.attrs["group"], int(np.prod(weight.shape[2:]))
        labels = axis_labels(coupling, x, 1)
        labels = np.repeat(labels, area, axis=0).reshape(groups, -1, labels.shape[1])
    else:
        labels = spread_labels(product, coupling, "inner")
    rows = row_labels(product, coupling)
    common = (rows[:, :, :, None] == rows[:, :1, None, :]).any(2).all(1)
    everywhere = np.where(common, rows[:, 0, :], NONE)
    gone = (labels[..., None] == everywhere[:, None, None, :]).any(-1)
    labels = np.sort(np.where(gone, NONE, labels), axis=-1)
    # One that is there twice counts once.
    labels[..., 1:][labels[..., 1:] == labels[..., :-1]] = NONE
    return labels


def row_labels(product: Product, coupling: Coupling) -> np.ndarray:
    """Labels that take away a row of W: int64 (G, R, k)."""
    if product.node.op in CONVOLUTIONS:
        labels = axis_labels(coupling, product.node.outputs[0], 1)
        return labels.reshape(product.node.attrs["group"], -1, labels.shape[1])
    return spread_labels(product, coupling, "rows")


def spread_labels(product: Product, coupling: Coupling, which: str) -> np.ndarray:
    """The same for a product that is no convolution; a block's own labels are among them."""
    node = product.node
    own, axes = axes_of(node, product.position)
    weight = node.inputs[product.position]
    assert weight is not None
    sizes = dict(zip(own, weight.shape, strict=True))
    part = axes.block + getattr(axes, which)
    shape = [sizes[c] for c in part]
    found = []
    for i, letter in enumerate(part):
        labels = axis_labels(coupling, weight, own.index(letter))
        place = [1] * len(part)
        place[i] = len(labels)
        found.append(np.broadcast_to(labels.reshape(*place, -1), (*shape, labels.shape[1])))
    blocks = int(np.prod([sizes[c] for c in axes.block]))
    if not found:
        return np.full((blocks, 1, 1), NONE)
    return np.concatenate(found, axis=-1).reshape(blocks, -1, sum(f.shape[-1] for f in found))


def axis_labels(coupling: Coupling, value: Value, axis: int) -> np.ndarray:
    """int64 (n, k)."""
    labels = coupling.axes.get((value, axis))
    return np.full((value.shape[axis], 1), NONE) if labels is None else labels
