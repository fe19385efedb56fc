"""One operator's statements, with the axes that it matches put together."""

from __future__ import annotations

from spa_kernel.graph.ir import Axis, Node
from spa_kernel.graph.operators import (
    Averaged,
    Contract,
    Fixed,
    Free,
    Maximised,
    Product,
    Same,
    Segment,
    Summed,
    statements,
)

BY_INDEX = Fixed, Summed, Averaged, Maximised, Free
"""Statements about the indices of one axis, which bring no two of them together."""


class Local:
    """Axes that an operator matches index by index have one letter, as in an einsum."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.segments: list[Segment] = []
        self.products: list[Product] = []
        self.foreign = False
        """Whether a statement is about a tensor that is no operand."""
        self.plain = True
        """Whether every statement is about single indices of tensors' own axes."""
        self._letters: dict[Axis, Axis] = {}
        own = {*node.inputs, *node.outputs}
        for statement in statements(node):
            match statement:
                case Same(a, b) | Contract(a, b):
                    self._letters[self.letter(a)] = self.letter(b)
                    self.plain &= "virtual" not in (a[0].kind, b[0].kind)
                    self.foreign |= not {v for v, _ in (a, b) if v.kind != "virtual"} <= own
                case Segment():
                    self.segments.append(statement)
                    self.plain = False
                case Product():
                    self.products.append(statement)
                    self.plain = False
                case _:
                    self.plain &= isinstance(statement, BY_INDEX)

    def letter(self, axis: Axis) -> Axis:
        """The axis that stands for all that are matched with this one."""
        while (up := self._letters.get(axis, axis)) != axis:
            axis = up
        return axis
