"""Fold a factor into the weights that produce a value.

A forward may work a factor out from a size, such as the attention scale ``1 / sqrt(d)``.
After a prune it is another number; multiplying the entries of the weights that make the
scaled value puts that right exactly, wherever everything in between is linear.
"""

from __future__ import annotations

import heapq

import numpy as np

from spa_kernel.graph.ir import Graph, Node, Value

MOVES = {"Reshape", "Transpose", "Slice", "Split", "Identity", "Neg"}
LINEAR = {"Gemm", "MatMul", "Conv"}
NORMS = {"LayerNormalization", "RMSNormalization"}

Marks = dict[Value, np.ndarray]
"""Per value a bool array of its shape: which entries are to be scaled."""


def moved(node: Node, entries: np.ndarray, out: Value) -> np.ndarray:
    """Move an array of a node's input shape as the node moves its input's entries."""
    match node.op:
        case "Reshape":
            return entries.reshape(out.shape)
        case "Transpose":
            return entries.transpose(node.attrs["perm"])
        case "Slice":
            for axis, positions in node.attrs["index"].items():
                entries = entries.take(positions, axis=axis)
            return entries
        case "Split":
            axis = node.attrs["axis"]
            sizes = [o.shape[axis] for o in node.outputs]
            start = sum(sizes[: node.outputs.index(out)])
            return entries.take(np.arange(start, start + out.shape[axis]), axis=axis)
    return entries


def unbroadcast(mark: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | None:
    """The mark of an operand that was broadcast; ``None`` where its copies disagree."""
    axes = tuple(range(mark.ndim - len(shape)))
    axes += tuple(
        i + len(axes) for i, n in enumerate(shape) if n == 1 and mark.shape[i + len(axes)] != 1
    )
    some, every = mark.any(axis=axes), mark.all(axis=axes)
    return some.reshape(shape) if np.array_equal(some, every) else None


class Folding:
    """Finds the stored entries behind a value of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.order = {node: i for i, node in enumerate(graph.nodes)}
        self.made = {out: node for node in graph.nodes for out in node.outputs}
        self.users: dict[Value, list[Node]] = {}
        for node in graph.nodes:
            for operand in dict.fromkeys(node.inputs):
                if operand is not None:
                    self.users.setdefault(operand, []).append(node)

    def entries(self, value: Value) -> list[tuple[str, np.ndarray]] | None:
        """Stored entries whose scaling scales a value, and nothing else.

        Returns
        -------
        list of (name, flat indices), or None
            ``None`` where there is no such set of entries.
        """
        if len(self.users[value]) != 1:
            return None
        marks: Marks = {value: np.ones(value.shape, dtype=bool)}
        pulled: dict[Node, Marks] = {}
        # Values are taken from the last one made to the first, so that each mark is complete.
        heap = [(-self._made_at(value), id(value), value)]
        while heap:
            _, _, current = heapq.heappop(heap)
            if current.stored:
                continue
            node = self.made.get(current)
            wanted = self._pull(node, current, marks[current]) if node is not None else None
            if node is None or wanted is None:
                return None
            into = pulled.setdefault(node, {})
            for operand, mark in wanted.items():
                into[operand] = np.logical_or(into.get(operand, False), mark)
                if operand in marks:
                    marks[operand] = np.logical_or(marks[operand], mark)
                else:
                    marks[operand] = mark
                    heapq.heappush(heap, (-self._made_at(operand), id(operand), operand))
        if not self._alone(value, marks, pulled):
            return None
        return [(v.name, np.flatnonzero(mark)) for v, mark in marks.items() if v.stored]

    def _made_at(self, value: Value) -> int:
        node = self.made.get(value)
        return -1 if node is None else self.order[node]

    def _alone(self, root: Value, marks: Marks, pulled: dict[Node, Marks]) -> bool:
        """Whether marked entries go nowhere but to the root."""
        for value, mark in marks.items():
            for user in self.users[value]:
                if value is root:
                    continue
                own = pulled.get(user, {}).get(value)
                if user.op in MOVES:
                    for out in user.outputs:
                        arrived = moved(user, mark, out)
                        if (arrived != marks.get(out, False)).any():
                            return False
                elif own is None:
                    if mark.any():
                        return False
                elif not np.array_equal(own, mark):
                    return False
        return True

    def _pull(self, node: Node, out: Value, mark: np.ndarray) -> Marks | None:
        """Which entries of a node's operands to scale, so that marked ones of ``out`` are."""
        operands = [v for v in node.inputs if v is not None]
        if node.op in MOVES:
            source = operands[0]
            numbers = moved(node, np.arange(int(np.prod(source.shape))).reshape(source.shape), out)
            found_: Marks = {source: np.zeros(source.shape, dtype=bool)}
            found_[source].reshape(-1)[numbers[mark]] = True
            return found_
        if node.op == "Concat":
            axis, start = node.attrs["axis"], 0
            found: Marks = {}
            for value in operands:
                stop = start + value.shape[axis]
                part = mark.take(np.arange(start, stop), axis=axis)
                if part.any():
                    found[value] = np.asarray(part)
                start = stop
            return found
        if node.op in ("Add", "Sub") and not node.attrs.get("scalar"):
            return self._each(operands, mark)
        if node.op == "Expand":
            return self._each(operands, mark)
        if node.op in ("Mul", "Div"):
            made = [v for v in operands if v in self.made or v.stored]
            return self._each(made[:1], mark)
        if node.op in LINEAR:
            return self._rows(node, operands, mark)
        if node.op in NORMS and len(operands) > 1:
            return self._each(operands[1:], mark)
        return None

    def _each(self, operands: list[Value], mark: np.ndarray) -> Marks | None:
        found: Marks = {}
        for value in operands:
            own = unbroadcast(mark, value.shape)
            if own is None:
                return None
            found[value] = own
        return found or None

    def _rows(self, node: Node, operands: list[Value], mark: np.ndarray) -> Marks | None:
        """Rows of the weight and the bias; of two activations, all of the first one."""
        weight = operands[1]
        if not self._from_weights(weight):
            return {operands[0]: np.ones(operands[0].shape, dtype=bool)} if mark.all() else None
        axis = 1 if node.op == "Conv" else mark.ndim - 1
        rest = tuple(i for i in range(mark.ndim) if i != axis)
        rows: np.ndarray = np.asarray(mark.any(axis=rest))
        if not np.array_equal(rows, mark.all(axis=rest)) or weight.ndim < 2:
            return None
        at = 0 if node.op == "Conv" else weight.ndim - 1 - node.attrs.get("transB", 0)
        shape = [1] * weight.ndim
        shape[at] = -1
        found: Marks = {weight: np.broadcast_to(rows.reshape(shape), weight.shape)}
        for bias in operands[2:]:
            if bias.ndim != 1:
                return None
            found[bias] = rows
        return found

    def _from_weights(self, value: Value) -> bool:
        """Whether a value is made from stored tensors alone."""
        while not value.stored:
            node = self.made.get(value)
            if node is None or node.op not in MOVES or node.inputs[0] is None:
                return False
            value = node.inputs[0]
        return True
