"""Stored tables of positions: which of them a prune may renumber."""

from __future__ import annotations

from collections.abc import Collection

from spa_kernel.graph.ir import Axis, Graph, Node, Value


def mark_tables(graph: Graph, elsewhere: Collection[int]) -> None:
    """Let the look-ups by a stored table be renumbered, where it is used for nothing else.

    Parameters
    ----------
    graph : Graph
    elsewhere : collection of int
        Identities of stored values whose numbers also went into other computations.
    """
    uses: dict[Value, list[tuple[Node, bool]]] = {}
    for node in graph.nodes:
        for i, value in enumerate(node.inputs):
            if value is not None and value.stored and value.data is not None:
                looks_up = node.op == "Gather" and i == 1 and value.ndim == 1
                uses.setdefault(value, []).append((node, looks_up))
    for table, nodes in uses.items():
        if not all(looks_up for _, looks_up in nodes) or table in graph.outputs:
            continue
        axes = [target(node) for node, _ in nodes]
        lengths = {v.shape[i] for v, i in axes}
        if len(lengths) == 1 and table.dtype != "bool" and id(table) not in elsewhere:
            for node, _ in nodes:
                # All axes that a table points into lose the same indices.
                node.attrs["renumber"] = axes[0]


def target(node: Node) -> Axis:
    """The axis that a look-up points into."""
    data = node.inputs[0]
    assert data is not None
    return data, node.attrs.get("axis", 0)
