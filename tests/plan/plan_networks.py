"""Made-up networks with all that a coupling can hold, small enough for brute force."""

from __future__ import annotations

import itertools

import numpy as np

from spa_kernel.coupling.result import Constraint, Coupling, Group
from spa_kernel.graph.ir import Axis, Graph, Node, Value
from spa_kernel.graph.operators import OPERATORS, Operator

DENSE = "test.Dense"


def dense_flops(node: Node) -> tuple[int, list[Axis]]:
    """A matrix product with as many rows as the attribute says."""
    weight = node.inputs[0]
    assert weight is not None
    return 2 * node.attrs["rows"], [(weight, 0), (weight, 1)]


OPERATOR = Operator(relation=lambda node: (), flops=dense_flops)


class Maker:
    """Builds a coupling by hand: groups first, then layers, then constraints."""

    def __init__(self) -> None:
        self.graph = Graph()
        self.coupling = Coupling(
            self.graph, {}, 1, np.array([True]), {0: "it is an output of the network"}
        )

    def group(self, size: int, *, frozen: bool = False) -> Group:
        c = self.coupling
        labels = np.arange(c.count, c.count + size)
        c.count += size
        c.frozen = np.append(c.frozen, np.full(size, frozen))
        number = len(c.groups) + 1
        group = Group(f"g{number}", f"block{number}.conv", labels, [], not frozen)
        if frozen:
            group.reason = "it is an output of the network"
            c.reasons |= dict.fromkeys(labels.tolist(), group.reason)
        c.groups.append(group)
        return group

    def axis(self, *groups: Group) -> np.ndarray:
        """Labels of groups one after the other (concatenation)."""
        return np.concatenate([g.labels for g in groups])[:, None]

    def product(self, a: Group, b: Group) -> np.ndarray:
        """Labels of a merged axis: an index goes if its row or its column goes."""
        return np.stack([np.repeat(a.labels, b.size), np.tile(b.labels, a.size)], axis=1)

    def dense(self, out: np.ndarray | int, into: np.ndarray | int, rows: int = 1) -> Value:
        """A layer; an integer is an axis that cannot lose anything."""
        labels = [out, into]
        shape = tuple(a if isinstance(a, int) else len(a) for a in labels)
        number = len(self.graph.nodes) // 2 + 1
        weight = Value(f"block{number}.conv.weight", shape, "parameter")
        bias = Value(f"block{number}.conv.bias", shape[:1], "parameter")
        mean = Value(f"block{number}.norm.running_mean", shape[:1], "buffer")
        for value in (weight, bias, mean):
            self.graph.stored[value.name] = value
            for axis, own in enumerate(labels[: value.ndim]):
                if not isinstance(own, int):
                    self.coupling.axes[value, axis] = own
                    for group in self.coupling.groups:
                        if np.isin(group.labels, own).any():
                            group.members.append((value.name, axis))
        done = Value(f"y{number}", shape[:1])
        name = f"block{number}.conv"
        self.graph.nodes += [
            Node(DENSE, (weight, bias), (done,), {"rows": rows}, name),
            Node("Relu", (done,), (done,), {}, name),
        ]
        return weight

    def tie(self, labels: np.ndarray, coefficients: np.ndarray, reason: str = "chunk(2)") -> None:
        self.coupling.constraints.append(Constraint(labels, coefficients, reason))

    def halves(self, group: Group) -> None:
        """Both halves of a group must lose equally many."""
        half = group.size // 2
        self.tie(group.labels[: 2 * half], np.repeat([1, -1], half))

    def quota(self, big: Group, small: Group, factor: int) -> None:
        """For each channel of the small group, the big one loses ``factor``."""
        self.tie(
            np.concatenate([big.labels, small.labels]),
            np.concatenate([np.full(big.size, 1), np.full(small.size, -factor)]),
            "view(B, N, heads, -1)",
        )


def random_network(seed: int, *, tied: bool = True) -> Maker:
    """A chain of layers with concatenations, products, frozen groups and constraints."""
    rng = np.random.default_rng(seed)
    make = Maker()
    groups = [
        make.group(int(rng.integers(2, 14)), frozen=bool(rng.random() < 0.15))
        for _ in range(rng.integers(2, 7))
    ]

    def axis() -> np.ndarray | int:
        kind = rng.random()
        a, b = (groups[i] for i in rng.integers(0, len(groups), 2))
        if kind < 0.1:
            return int(rng.integers(1, 8))
        if kind < 0.3 and a is not b:
            return make.axis(a, b)
        if kind < 0.45 and a is not b:
            return make.product(a, b)
        if kind < 0.55:
            # A part that the program cuts out of a group: the group can outlive it.
            return make.axis(a)[: max(1, a.size // 3)]
        return make.axis(a)

    for group in groups:
        make.dense(make.axis(group), axis(), int(rng.integers(1, 50)))
    for _ in range(rng.integers(0, 4)):
        make.dense(axis(), axis(), int(rng.integers(1, 50)))
    if tied:
        for group in groups:
            if rng.random() < 0.3:
                make.halves(group)
        for a, b in itertools.combinations(groups, 2):
            if rng.random() < 0.15:
                make.quota(a, b, int(rng.integers(1, 3)))
    return make


def random_scores(coupling: Coupling, seed: int) -> dict[str, np.ndarray]:
    """Scores with ties among them."""
    rng = np.random.default_rng(seed)
    return {g.id: np.round(rng.random(g.size), 1) for g in coupling.groups}


def brute_force(coupling: Coupling, removed: np.ndarray) -> tuple[int, int]:
    """FLOPs and parameters, counted index by index."""
    flops = sum(
        2 * node.attrs["rows"] * int(np.prod(coupling.shape(weight, removed)))
        for node in coupling.graph.nodes
        for weight in node.inputs[:1]
        if node.op == DENSE and weight is not None
    )
    params = sum(np.prod(coupling.shape(v, removed)) for v in coupling.graph.parameters)
    return int(flops), int(params)


def assert_sound(coupling: Coupling, removed: np.ndarray) -> None:
    """Constraints hold, nothing frozen goes, and no axis is empty."""
    assert not (removed & coupling.frozen).any()
    for constraint in coupling.constraints:
        assert constraint.coefficients @ removed[constraint.labels] == 0
    for axis in coupling.axes:
        assert coupling.size(axis, removed) >= 1


def install() -> None:
    OPERATORS[DENSE] = OPERATOR


def uninstall() -> None:
    OPERATORS.pop(DENSE, None)
