"""Weights that a forward only uses after it has added a number to them, as in ``x * (1 + w)``.

The sum is scaled in place of the weight: ``(1 + w) * c`` is ``1 + w'`` for another weight.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from spa_kernel.graph.factors import FLOATS, Tied, aligned
from spa_kernel.graph.ir import Node, Value

PASSED = frozenset({"Identity", "Cast", "Reshape", "Transpose", "Expand"})
"""Operators that leave every entry as it is, and all of them there."""


def shifts(
    weights: Iterable[Value], users: Mapping[Value, list[Node]]
) -> tuple[dict[str, float], dict[Node, Tied]]:
    """The number that is added to each such weight, by its name, and where that is done."""
    numbers: dict[str, float] = {}
    sums: dict[Node, Tied] = {}
    for weight in weights:
        found = added(weight, users)
        if found and len({number(node) for node in found}) == 1:
            numbers[weight.name] = number(found[0]) or 0.0
            for node in found:
                source, out = node.inputs[0], node.outputs[0]
                assert source is not None
                sums[node] = Tied(out, source, aligned(out, source))
    return numbers, sums


def added(value: Value, users: Mapping[Value, list[Node]]) -> list[Node] | None:
    """The sums with a number that a value goes into, if it goes into nothing else."""
    found: list[Node] = []
    for node in users.get(value, ()):
        if number(node) is not None:
            found.append(node)
            continue
        out = node.outputs[0] if node.op in PASSED else None
        further = added(out, users) if out is not None and out.dtype in FLOATS else None
        if further is None:
            return None
        found += further
    return found or None


def number(node: Node) -> float | None:
    """The number that a node adds to its only operand, where it does no more than that."""
    scalar, alpha = node.attrs.get("scalar"), node.attrs.get("alpha")
    plain = node.op == "Add" and len(node.inputs) == 1 and alpha in (None, 1)
    return float(scalar) if plain and isinstance(scalar, int | float) else None
