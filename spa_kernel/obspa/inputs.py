"""What a graph tells of its inputs, and how much of them goes through a network at once."""

from __future__ import annotations

from spa_kernel.graph.ir import Graph, Value

SIZE = 32
"""Most samples that go through a network at once, where it does not say how many."""
LARGE = 2**24
"""Most entries of a batch that is made."""
PASSING = frozenset("Cast Identity Reshape Expand Transpose Slice Split Concat Clip".split())
"""Operators after which a number still says which entry of a table is meant."""


def spatial(value: Value, graph: Graph) -> bool:
    """Whether an input has axes in space after that of its channels.

    Four axes and more are taken for that; three, (N, C, L), where a convolution reads them and
    not a product, as of a sequence.
    """
    if value.ndim != 3:
        return value.ndim > 3
    return any(n.op in ("Conv", "ConvTranspose") and n.inputs[0] is value for n in graph.nodes)


def entries(value: Value, graph: Graph) -> int | None:
    """How many entries the smallest stored table has that an input looks up; None without one."""
    meant, found = {value}, []
    for node in graph.nodes:
        if node.op == "Gather" and node.inputs[1] in meant:
            table = node.inputs[0]
            if table is not None and table.stored:
                found.append(table.shape[node.attrs["axis"]])
        elif node.op in PASSING and node.inputs and node.inputs[0] in meant:
            meant.update(node.outputs)
    return min(found, default=None)
