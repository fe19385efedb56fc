"""Operators that run a body of their own, and what that reads."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.graph.ir import Node
from spa_kernel.graph.operators import Statement, freeze_all, operator


@operator("If", "Loop", "Scan", "SequenceMap", zero="never")
def body(node: Node) -> Iterator[Statement]:
    """The body is not looked into."""
    return freeze_all(node, f"{node.where} has a body of its own, whose sizes stay as they are")
