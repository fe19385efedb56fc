"""Fold a factor into the weights that produce a value.

A forward may work a factor out from a size, such as the attention scale ``1 / sqrt(d)``.
After a prune it is another number; multiplying the rows of the weight that make the scaled
value puts that right exactly.
"""

from __future__ import annotations

import numpy as np

from spa_kernel.graph.ir import Graph, Node, Value

MOVES = {"Reshape", "Transpose", "Slice", "Split", "Identity", "Expand"}


def producers(graph: Graph) -> dict[Value, Node]:
    """Which node makes each value."""
    return {out: node for node in graph.nodes for out in node.outputs}


def move(node: Node, index: np.ndarray, out: Value) -> np.ndarray:
    """Move an array of row numbers as the node moves its input's entries."""
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


def rows_behind(graph: Graph, value: Value) -> list[tuple[str, int, np.ndarray]] | None:
    """The stored weights whose rows make a value, and nothing else.

    Returns
    -------
    list of (name, axis, rows), or None
        Scaling these rows scales the value and nothing else; ``None`` where there is no such
        set of rows.
    """
    made = producers(graph)
    chain: list[tuple[Node, Value]] = []
    while (node := made.get(value)) is not None and node.op in MOVES:
        chain.append((node, value))
        assert node.inputs[0] is not None
        value = node.inputs[0]
    if node is None:
        return None
    targets = linear_rows(node, made)
    if targets is None:
        return None
    axis = 1 if node.op == "Conv" else value.ndim - 1
    shape = [1] * value.ndim
    shape[axis] = value.shape[axis]
    index = np.broadcast_to(np.arange(value.shape[axis]).reshape(shape), value.shape)
    users: dict[Value, list[Node]] = {}
    for user in graph.nodes:
        for operand in user.inputs:
            if operand is not None:
                users.setdefault(operand, []).append(user)
    others: list[np.ndarray] = []
    for step, out in reversed(chain):
        source = step.inputs[0]
        assert source is not None
        for user in users[source]:
            if user.op in MOVES:
                others.extend(move(user, index, o) for o in user.outputs if o is not out)
            elif user is not step:
                return None
        index = move(step, index, out)
    if chain and len(users.get(chain[0][1], ())) != 1:
        return None
    rows = np.unique(index)
    if any(np.isin(rows, other).any() for other in others):
        return None
    return [(name, axis, rows) for name, axis in targets]


def linear_rows(node: Node, made: dict[Value, Node]) -> list[tuple[str, int]] | None:
    """Weight and bias of a linear operator, each with the axis of its rows."""
    if node.op == "Add":
        # A product with its bias added afterwards.
        x, bias = node.inputs[0], node.inputs[1]
        inner = made.get(x) if x is not None else None
        if bias is None or not bias.stored or bias.ndim != 1 or inner is None:
            return None
        rows = linear_rows(inner, made) if inner.op == "MatMul" else None
        return None if rows is None else [*rows, (bias.name, 0)]
    if node.op not in ("Gemm", "MatMul", "Conv"):
        return None
    weight, bias = (*node.inputs, None)[1:3]
    if weight is None or (bias is not None and not (bias.stored and bias.ndim == 1)):
        return None
    axis = 0 if node.op == "Conv" else 1 - node.attrs.get("transB", 0)
    source = made.get(weight)
    while source is not None and source.op in ("Transpose", "Identity"):
        if source.op == "Transpose":
            axis = source.attrs["perm"][axis]
        assert source.inputs[0] is not None
        weight, source = source.inputs[0], made.get(source.inputs[0])
    if not weight.stored:
        return None
    return [(weight.name, axis), *([(bias.name, 0)] if bias is not None else [])]
