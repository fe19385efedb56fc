"""From the operators' statements to labels on every axis."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from spa_kernel.coupling.averages import exact
from spa_kernel.coupling.balanced import balance, share
from spa_kernel.coupling.equations import constrain
from spa_kernel.coupling.groups import group
from spa_kernel.coupling.labels import FREE, Labels
from spa_kernel.coupling.result import UNUSED, Coupling, Group
from spa_kernel.coupling.signs import Signs
from spa_kernel.graph.ir import Axis, Graph, Node
from spa_kernel.graph.operators import (
    Averaged,
    Contract,
    Fixed,
    Free,
    Maximised,
    Product,
    Same,
    Segment,
    Statement,
    Summed,
    Zero,
    described,
    statements,
)

State = np.ndarray | int
"""Labels (n, k) of an axis, or the number of the reason why all of it is fixed."""


class Solver:
    """Walks the graph once, in order of execution, and lets every statement act on the labels."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.labels = Labels()
        self.axes: dict[Axis, State] = {}
        self.reasons: list[str] = []
        self.quiet: set[Axis] = set()
        """Axes that nobody takes for channels."""
        self._numbers: dict[str, int] = {}
        self._stuck: dict[int, np.ndarray] = {}
        self._zero: dict[Axis, bool] = {}
        self._links: dict[Axis, list[Axis]] = {}
        self._node: Node | None = None
        self._reduced: list[tuple[Node, Averaged | Maximised]] = []
        """Means and maxima, to be judged when the whole network is known."""

    def run(self) -> None:
        """Work through all nodes, then fix the network's outputs."""
        for node in self.graph.nodes:
            self._node, self._links = node, {}
            for value in node.outputs:
                for axis in range(value.ndim):
                    self._links[value, axis] = []
            for statement in statements(node):
                self._take(statement)
            self._finish(node)
        for value in self.graph.outputs:
            for axis in range(value.ndim):
                self._fix((value, axis), self.number("it is an output of the network"))

        self._reductions()

    def _reductions(self) -> None:
        """Fix axes of means and maxima that are not exact; the whole network has a say in it."""
        if not any(self._is_open(s.axis) for _, s in self._reduced):
            return
        signs, used = Signs(self.graph), {v for node in self.graph.nodes for v in node.inputs}
        used.update(self.graph.outputs)
        for node, statement in self._reduced:
            x = statement.axis[0]
            largest = signs.nonnegative(x) and not used & {*node.outputs[1:]}
            if isinstance(statement, Maximised) and not largest and self._is_open(statement.axis):
                reason = "takes the largest, and removed entries would not be the smallest"
                self._fix(statement.axis, self.number(f"{node.where} {reason}"))
        means = [
            (node, s.axis)
            for node, s in self._reduced
            if isinstance(s, Averaged) and self._is_open(s.axis)
        ]
        states = [(node, self.axes[axis]) for node, axis in means]
        labels = [(n, self.labels.resolve(s)) for n, s in states if not isinstance(s, int)]
        found = exact(self.graph, labels) if self.graph.folds else [False] * len(means)
        for (node, axis), fine in zip(means, found, strict=True):
            if not fine and self._is_open(axis):
                reason = "averages over it, and no weight can take up that fewer are averaged"
                self._fix(axis, self.number(f"{node.where} {reason}"))

    def _is_open(self, axis: Axis) -> bool:
        """Whether an index of an axis may still go."""
        state = self.axes.get(axis)
        if state is None or isinstance(state, int):
            return False
        labels = self.labels.resolve(state)
        return bool((self.labels.reason(labels) == FREE).any())

    def number(self, reason: str) -> int:
        """The number of a reason; earlier reasons have smaller numbers."""
        if reason not in self._numbers:
            self._numbers[reason] = len(self.reasons)
            self.reasons.append(reason)
        return self._numbers[reason]

    def known(self, axis: Axis) -> State | None:
        """What is known of an axis; ``None`` for one that no statement has reached yet."""
        known = self.axes.get(axis)
        if known is None:
            value, i = axis
            if value.shape[i] == 1:
                known = self.number("there is only one index")
            elif value.kind == "input":
                known = self.number(f"it is an axis of the network's input {value.name!r}")
            elif value.kind == "constant":
                known = self.number("the forward makes a constant of this size")
            else:
                return None
            self.axes[axis] = known
        return known

    def state(self, axis: Axis) -> State | None:
        """As `known`, but an axis of a weight that was not reached yet gets labels of its own."""
        known = self.known(axis)
        if known is None and (axis[0].stored or axis[0].kind == "virtual"):
            known = self.axes[axis] = self.labels.fresh(axis[0].shape[axis[1]])
        return known

    def _take(self, statement: Statement) -> None:
        match statement:
            case Same(a, b):
                known = self.axes.get(b)
                if isinstance(known, int) and self.axes.setdefault(a, known) is known:
                    # Most axes are fixed, and stay so from operator to operator.
                    return
                self._link(a, b)
                self._equal_axes(a, b)
            case Contract(a, b):
                self._equal_axes(a, b)
                if not (self._is_zero(a) or self._is_zero(b)):
                    self._fix(a, self.number(self._nonzero()))
            case Summed(axis):
                if not self._is_zero(axis):
                    self._fix(axis, self.number(self._nonzero()))
            case Averaged(axis) | Maximised(axis):
                assert self._node is not None
                if self._is_zero(axis):
                    self._reduced.append((self._node, statement))
                else:
                    self._fix(axis, self.number(self._nonzero()))
            case Fixed(axis, reason, quiet):
                if quiet:
                    self.quiet.add(axis)
                elif axis[0].kind == "parameter":
                    self.state(axis)
                self._fix(axis, self.number(reason))
            case Free(axis):
                if self.known(axis) is None:
                    self.axes[axis] = self.labels.fresh(axis[0].shape[axis[1]])
            case Segment(whole, parts):
                self._segment(whole, parts)
            case Product(whole, factors):
                self._product(whole, factors)

    def _nonzero(self) -> str:
        assert self._node is not None
        return f"{self._node.where} sums over it, and removed entries would not be zero there"

    def _finish(self, node: Node) -> None:
        """Fix output axes that no statement reached; note where removed entries are zero."""
        known = described(node)
        rule = known.zero if known else "never"
        if callable(rule):
            rule = rule(node)
        for axis, operands in self._links.items():
            if axis not in self.axes:
                self.axes[axis] = self.number(f"{node.where} makes an axis of its own")
            elif not isinstance(self.axes[axis], int):
                self._zero[axis] = self._made_zero(node, rule, operands)

    def _made_zero(self, node: Node, rule: Zero, operands: list[Axis]) -> bool:
        """Whether an output's entries are zero where these operand axes lose an index."""
        zeros = [self._is_zero(o) for o in operands]
        if rule == "never" or not zeros:
            return False
        if rule == "any":
            return any(zeros)
        needed = {"all": (), "biased": node.inputs[2:3], "every": node.inputs}[rule]
        carrying = {value for value, _ in operands}
        return all(zeros) and all(v is None or v in carrying for v in needed)

    def _is_zero(self, axis: Axis) -> bool:
        """Whether entries at removed indices are zero in the masked network."""
        value = axis[0]
        if value.stored or isinstance(self.axes.get(axis), int):
            return True
        return self._zero.get(axis, value.kind == "virtual")

    def _link(self, *axes: Axis) -> None:
        """Note which operand axes an output axis comes from."""
        for out in axes:
            if out in self._links:
                self._links[out].extend(a for a in axes if a not in self._links)

    def _equal_axes(self, a: Axis, b: Axis) -> None:
        left, right = self.known(a), self.known(b)
        if left is None and right is None:
            left, right = self.state(a), self.state(b)
        # An axis that nothing is known of yet takes the other one's labels as they are.
        if left is None and right is not None:
            self.axes[a] = right
        elif right is None and left is not None:
            self.axes[b] = left
        elif left is not None and right is not None:
            self._equal(left, right)

    def _equal(self, a: State, b: State) -> None:
        if isinstance(a, int):
            if not isinstance(b, int):
                self.labels.freeze(b, a)
        elif isinstance(b, int):
            self.labels.freeze(a, b)
        elif a is not b:
            assert self._node is not None
            reason = f"{self._node.where} ties indices that cannot be matched one to one"
            self.labels.require_equal(a, b, self.number(reason))

    def _fix(self, axis: Axis, reason: int) -> None:
        state = self.axes.get(axis)
        if state is None:
            self.axes[axis] = reason
        elif not isinstance(state, int):
            self.labels.freeze(state, reason)

    def _frozen(self, n: int, reason: int) -> np.ndarray:
        """N times the one label that is frozen for this reason."""
        if reason not in self._stuck:
            self._stuck[reason] = self.labels.fresh(1)
            self.labels.freeze(self._stuck[reason], reason)
        return np.repeat(self._stuck[reason], n, axis=0)

    def _segment(self, whole: Axis, parts: Sequence[tuple[Axis, np.ndarray]]) -> None:
        for part, _ in parts:
            self._link(whole, part)
        state = self.state(whole)
        if state is None:
            states = [self.state(part) for part, _ in parts]
            if all(isinstance(s, int) for s in states):
                self.axes[whole] = next(s for s in states if s is not None)
                return
            arrays = [
                self._frozen(len(index), s) if isinstance(s, int) else s
                for s, (_, index) in zip(states, parts, strict=True)
            ]
            width = max(a.shape[1] for a in arrays if a is not None)
            size = whole[0].shape[whole[1]]
            state = np.full((size, width), -1, dtype=np.int64)
            for array, (_, index) in zip(arrays, parts, strict=True):
                if array is not None:
                    state[index] = widen(array, width)
            missing = state[:, 0] < 0
            if missing.any():
                state[missing] = self.labels.fresh(int(missing.sum()))
            self.axes[whole] = state
            parts = [part for part, s in zip(parts, states, strict=True) if s is None]
        for part, index in parts:
            mine = self.known(part)
            theirs = state if isinstance(state, int) else state[index]
            if mine is None:
                self.axes[part] = theirs
            else:
                self._equal(mine, theirs)

    def _product(self, whole: Axis, factors: Sequence[Axis]) -> None:
        self._link(whole, *factors)
        operands = [f for f in factors if f not in self._links]
        if whole[0].kind == "virtual" and operands:
            self._zero[whole] = all(self._is_zero(f) for f in operands)
        sizes = [v.shape[i] for v, i in factors]
        state = self.state(whole)
        if isinstance(state, int):
            for factor in factors:
                self._fix(factor, state)
            return
        columns, inner, fixed = [], 1, None
        for factor, size in zip(reversed(factors), reversed(sizes), strict=True):
            mine = self.state(factor)
            if mine is None:
                mine = self.axes[factor] = self.labels.fresh(size)
            if isinstance(mine, int):
                fixed = mine if fixed is None or size > 1 else fixed
            else:
                outer = int(np.prod(sizes)) // (inner * size)
                columns.append(np.tile(np.repeat(mine, inner, axis=0), (outer, 1)))
            inner *= size
        if not columns:
            assert fixed is not None
            self._fix(whole, fixed)
            return
        product = columns[0] if len(columns) == 1 else np.concatenate(columns[::-1], axis=1)
        if state is None:
            self.axes[whole] = product
        else:
            self._equal(state, product)


def widen(labels: np.ndarray, width: int) -> np.ndarray:
    """Repeat the last column until there are ``width`` of them."""
    extra = width - labels.shape[1]
    return np.concatenate([labels] + [labels[:, -1:]] * extra, axis=1) if extra else labels


def finish(solver: Solver) -> Coupling:
    """Number the label classes that are left, and collect reasons."""
    done: dict[int, np.ndarray] = {}
    kept: dict[Axis, np.ndarray] = {}
    for axis, state in solver.axes.items():
        if not isinstance(state, int):
            if id(state) not in done:
                done[id(state)] = solver.labels.resolve(state)
            kept[axis] = done[id(state)]
    names, code = np.unique(
        np.concatenate([a.ravel() for a in done.values()]) if done else np.empty(0, np.int64),
        return_inverse=True,
    )
    start = 0
    compact: dict[int, np.ndarray] = {}
    for array in done.values():
        compact[id(array)] = code[start : start + array.size].reshape(array.shape)
        start += array.size
    numbers = solver.labels.reason(names)
    frozen = numbers != FREE
    reasons = {int(i): solver.reasons[numbers[i]] for i in np.flatnonzero(frozen)}
    axes = {axis: compact[id(array)] for axis, array in kept.items()}
    # Rows of a table that this input does not reach may be needed by the next one.
    used, weighty = np.zeros((2, len(names)), dtype=bool)
    for kind, mask in (("activation", used), ("parameter", weighty)):
        of_kind = {id(a): a for (value, _), a in axes.items() if value.kind == kind}
        for array in of_kind.values():
            mask[array] = True
    for mask, reason in (
        (~used, "the forward does not reach it with this input"),
        (~weighty, "only buffers have it, no parameter"),
    ):
        new = np.flatnonzero(mask & ~frozen)
        frozen[new] = True
        reasons.update(dict.fromkeys(new.tolist(), reason))
    coupling = Coupling(solver.graph, axes, len(names), frozen, reasons)
    coupling.fixed = {
        axis: solver.reasons[state]
        for axis, state in solver.axes.items()
        if isinstance(state, int) and axis[0].stored and axis not in solver.quiet
    }
    taken = {v for node in solver.graph.nodes for v in node.inputs}
    for value in solver.graph.parameters:
        if value not in taken:
            coupling.fixed |= {(value, axis): UNUSED for axis in range(value.ndim)}
    return coupling


def hold(coupling: Coupling, nodes: Iterable[Node], reason: str) -> bool:
    """Freeze the channels of some operators, or of the nearest ones before them that have any.

    For operators that turn out, when a prune is tried, not to follow it.

    Returns
    -------
    bool
        Whether anything was frozen that was not before.
    """
    share(coupling)
    made = {out: node for node in coupling.graph.nodes for out in node.outputs}
    new, seen, front = np.empty(0, dtype=np.int64), set(), list(nodes)
    while front and not len(new):
        seen.update(front)
        touched = [v for n in front for v in (*n.inputs, *n.outputs) if v is not None]
        labels = [
            coupling.axes[value, axis].ravel()
            for value in touched
            for axis in range(value.ndim)
            if (value, axis) in coupling.axes
        ]
        found = np.unique(np.concatenate(labels)) if labels else new
        new = found[~coupling.frozen[found]]
        before = dict.fromkeys(made[v] for n in front for v in n.inputs if v in made)
        front = [node for node in before if node not in seen]
    coupling.frozen[new] = True
    coupling.reasons.update(dict.fromkeys(new.tolist(), reason))
    settle(coupling)
    return len(new) > 0


def hold_groups(coupling: Coupling, groups: Iterable[Group], reason: str) -> None:
    """Freeze all channels of some groups, for one reason."""
    labels = np.concatenate([group.labels for group in groups])
    if coupling.source is not None:
        labels = coupling.source[labels]
    share(coupling)
    new = labels[~coupling.frozen[labels]]
    coupling.frozen[new] = True
    coupling.reasons.update(dict.fromkeys(new.tolist(), reason))
    settle(coupling)


def couple(graph: Graph) -> Coupling:
    """Find the coupled channels of a graph, their groups and the constraints on their counts."""
    solver = Solver(graph)
    solver.run()
    coupling = finish(solver)
    settle(coupling)
    return coupling


def settle(coupling: Coupling) -> None:
    """Constraints, groups, and a choice of its own for each block where that is exact."""
    coupling.repairs = constrain(coupling)
    coupling.groups = group(coupling)
    if balance(coupling):
        coupling.groups = group(coupling)
