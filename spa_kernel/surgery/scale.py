"""Fold a factor into the weights that produce a value.

A forward may work a factor out from a size, such as the attention scale ``1 / sqrt(d)``.
After a prune it is another number; multiplying the entries of the weights that make the
scaled value puts that right exactly.
"""

from __future__ import annotations

import numpy as np

from spa_kernel.graph.ir import Graph, Node, Value

MOVES = {"Reshape", "Transpose", "Slice", "Split", "Identity", "Expand"}


def move(node: Node, index: np.ndarray, out: Value) -> np.ndarray:
    """Move an array of entry numbers as the node moves its input's entries."""
    match node.op:
        case "Reshape":
            return index.reshape(out.shape)
        case "Transpose":
            return index.transpose(node.attrs["perm"])
        case "Slice":
            for axis, positions in node.attrs["index"].items():
                index = index.take(positions, axis=axis)
            return index
        case "Split":
            axis = node.attrs["axis"]
            sizes = [o.shape[axis] for o in node.outputs]
            start = sum(sizes[: node.outputs.index(out)])
            return index.take(np.arange(start, start + out.shape[axis]), axis=axis)
        case "Expand":
            return np.broadcast_to(index, out.shape)
    return index


class Folding:
    """Finds the stored entries behind a value of one graph."""

    def __init__(self, graph: Graph) -> None:
        self.made = {out: node for node in graph.nodes for out in node.outputs}
        self.users: dict[Value, list[Node]] = {}
        for node in graph.nodes:
            for operand in node.inputs:
                if operand is not None:
                    self.users.setdefault(operand, []).append(node)

    def entries(self, value: Value) -> list[tuple[str, np.ndarray]] | None:
        """Stored entries whose scaling scales a value, and nothing else.

        Returns
        -------
        list of (name, flat indices), or None
            ``None`` where there is no such set of entries.
        """
        source, chain = self._back(value)
        node = self.made.get(source)
        if node is None:
            return None
        terms = self._linear(node)
        if terms is None:
            return None
        axis = 1 if node.op == "Conv" else source.ndim - 1
        shape = [1] * source.ndim
        shape[axis] = source.shape[axis]
        rows = self._forward(source, chain, np.arange(source.shape[axis]).reshape(shape))
        if rows is None or (chain and len(self.users.get(value, ())) != 1):
            return None
        found = []
        for operand, row_axis in terms:
            stored, moves = self._back(operand)
            if not stored.stored:
                return None
            index = np.arange(int(np.prod(stored.shape))).reshape(stored.shape)
            wanted = self._forward(stored, moves, index, row_axis, rows)
            if wanted is None or len(self.users[operand]) != 1:
                return None
            found.append((stored.name, wanted))
        return found

    def _back(self, value: Value) -> tuple[Value, list[tuple[Node, Value]]]:
        """Where a value's entries come from, and the moves in between (in order)."""
        chain: list[tuple[Node, Value]] = []
        while (node := self.made.get(value)) is not None and node.op in MOVES:
            chain.append((node, value))
            assert node.inputs[0] is not None
            value = node.inputs[0]
        return value, chain[::-1]

    def _forward(
        self,
        source: Value,
        chain: list[tuple[Node, Value]],
        index: np.ndarray,
        axis: int | None = None,
        rows: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Entries that reach the end of a chain, unless others want them too.

        With ``axis`` and ``rows`` only those rows of the end count.
        """
        index = np.broadcast_to(index, source.shape)
        others: list[np.ndarray] = []
        for step, out in chain:
            operand = step.inputs[0]
            assert operand is not None
            for user in self.users[operand]:
                if user.op in MOVES:
                    others.extend(move(user, index, o) for o in user.outputs if o is not out)
                elif user is not step:
                    return None
            index = move(step, index, out)
        if axis is not None and rows is not None:
            index = index.take(rows, axis=axis)
        wanted = np.unique(index)
        return None if any(np.isin(wanted, other).any() for other in others) else wanted

    def _linear(self, node: Node) -> list[tuple[Value, int]] | None:
        """Weight and bias of a linear operator, each with the axis of its rows."""
        if node.op == "Add":
            # A product with its bias added afterwards.
            x, bias = node.inputs[0], node.inputs[1]
            inner = self.made.get(x) if x is not None else None
            if bias is None or bias.ndim != 1 or inner is None or inner.op != "MatMul":
                return None
            terms = self._linear(inner)
            return None if terms is None else [*terms, (bias, 0)]
        if node.op not in ("Gemm", "MatMul", "Conv"):
            return None
        weight, bias = (*node.inputs, None)[1:3]
        if weight is None or (bias is not None and bias.ndim != 1):
            return None
        axis = 0 if node.op == "Conv" else weight.ndim - 1 - node.attrs.get("transB", 0)
        return [(weight, axis), *([(bias, 0)] if bias is not None else [])]
