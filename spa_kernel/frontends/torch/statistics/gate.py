"""The derivative of the loss by gates, one on what is read of each coupled channel."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from spa_kernel.coupling.result import Coupling
from spa_kernel.frontends.torch.statistics.gradient import Tensors, per_batch
from spa_kernel.frontends.torch.statistics.run import Run, statistic, wide
from spa_kernel.graph.ir import Axis, Graph, Node, Value
from spa_kernel.graph.operators import Contract, statements
from spa_kernel.graph.ops_recurrent import GATES
from spa_kernel.importance.aggregate import columns, labelled
from spa_kernel.products.ways import back, from_weights, ways

COLUMNS = {"Conv": 1, "ConvTranspose": 0, "DeformConv": 1}
"""The axis of a kernel that the channels of the picture meet."""

Places = list[tuple[torch.Tensor, torch.Tensor]]
"""Labels, and the indices of an axis that they stand at."""


@statistic("gate_gradient")
def gate_gradient(run: Run) -> np.ndarray:
    """Sum of weight times gradient over the elements that read each label, batch by batch.

    By the chain rule, d loss / d z at z = 1 where z multiplies all of these elements. Those that
    make a channel feel the same as those that read it, so that with both it would count twice,
    and more often where several layers add to one stream.
    """
    marked = gated(run.coupling)
    rows = [
        gates(parameters, found, marked, run.coupling.count) for parameters, found in per_batch(run)
    ]
    return np.stack(rows)


def gated(coupling: Coupling) -> dict[str, dict[int, Places]]:
    """For each parameter and axis the indices whose labels have their gate there."""
    read = reading(coupling.graph)
    by_reader = np.zeros(coupling.count, dtype=bool)
    every = [(value, axis) for value, axes in labelled(coupling) for axis in axes]
    for value, axis in every:
        if (value.name, axis) in read:
            by_reader[coupling.axes[value, axis]] = True
    marked: dict[str, dict[int, Places]] = {}
    for value, axis in every:
        found: Places = []
        for label, fresh in columns(np.ascontiguousarray(coupling.axes[value, axis])):
            rows = np.arange(len(coupling.axes[value, axis]))[fresh]
            own = np.ones(len(label), dtype=bool)
            if (value.name, axis) not in read:
                own = ~by_reader[label]
            if own.any():
                found.append((torch.from_numpy(label[own]), torch.from_numpy(rows[own])))
        if found:
            marked.setdefault(value.name, {})[axis] = found
    return marked


def reading(graph: Graph) -> set[tuple[str, int]]:
    """The parameters' axes that some product sums over, with where parameters stand behind."""
    nodes = graph.nodes[: graph.evaluated]
    made, found = from_weights(nodes), set[tuple[str, int]]()
    for node in nodes:
        for axis in summed(node):
            found.update(sources(axis, made))
    return found


def summed(node: Node) -> Iterator[Axis]:
    """The axes that a product sums over."""
    for statement in statements(node):
        if isinstance(statement, Contract):
            yield statement.a
            if node.op not in GATES:
                # What a recurrent weight reads may be made by the projection that stands here.
                yield statement.b
    groups = node.attrs.get("groups")
    if node.op in COLUMNS and groups is not None:
        # Channels within a group are a factor of an axis, which no statement of that kind names.
        picture, kernel = node.inputs[:2]
        assert picture is not None and kernel is not None
        if picture.shape[1] > groups.shape[0]:
            yield kernel, COLUMNS[node.op]


def sources(axis: Axis, made: dict[Value, Node]) -> set[tuple[str, int]]:
    """The parameters' axes that an axis is made of, where entries are only moved about."""
    value, number = axis
    found: set[tuple[str, int]] = set()
    for way in ways(value, made):
        shape = [1] * value.ndim
        shape[number] = value.shape[number]
        # What varies along this axis, and along no other, is followed back.
        positions = torch.arange(1.0, value.shape[number] + 1).reshape(shape)
        behind = back(positions, way)
        for i in range(behind.ndim):
            if bool((behind != behind.narrow(i, 0, 1)).any()):
                found.add((way.parameter, i))
    return found


def gates(
    parameters: Tensors, found: Tensors, marked: dict[str, dict[int, Places]], count: int
) -> np.ndarray:
    """One batch: float64, one number per label."""
    total = torch.zeros(count, dtype=torch.float64)
    for name in marked.keys() & found.keys():
        weight, axes = parameters[name].detach(), marked[name]
        product = wide(weight) * found[name]
        free = [d for d in range(product.ndim) if d not in axes]
        reduced = product.sum(free) if free else product
        for position, axis in enumerate(sorted(axes)):
            rest = [p for p in range(reduced.ndim) if p != position]
            sums = (reduced.sum(rest) if rest else reduced).double().cpu()
            for labels, rows in axes[axis]:
                total.index_add_(0, labels, sums[rows])
    return total.numpy()
