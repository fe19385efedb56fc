"""What an operator says about the axes it touches, and the registry of operators.

A prune decides, for each index of each axis of each tensor, "stays" or "goes". An operator
states how the decisions on its operands' axes relate, with the statements below and
nothing else. It states this once, here, for every front end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from spa_kernel.graph.ir import Axis, Node


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """Index i of ``a`` goes exactly when index i of ``b`` goes."""

    a: Axis
    b: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Contract:
    """As `Same`, for an axis that is summed over.

    Exact only where the removed entries of at least one side are zero; the solver freezes
    the axis otherwise.
    """

    a: Axis
    b: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Index i of each part is index ``index[i]`` of the whole (index map, int64)."""

    whole: Axis
    parts: tuple[tuple[Axis, np.ndarray], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """The whole is the row-major product of the factors.

    An index of the whole goes if its index in any of the factors goes.
    """

    whole: Axis
    factors: tuple[Axis, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Fixed:
    """No index of the axis can go, for a reason that is shown to the person.

    ``quiet``: nobody takes this for a channel axis (a kernel's), so it is not listed.
    """

    axis: Axis
    reason: str
    quiet: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Summed:
    """The axis is reduced by a sum: exact only where its removed entries are zero."""

    axis: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Free:
    """All indices of an axis hold the same: any of them may go, whatever else does."""

    axis: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Averaged:
    """The axis is reduced by a mean: that of fewer entries is larger by a factor.

    Exact where the removed entries are zero and weights can take the factor up.
    """

    axis: Axis


@dataclass(frozen=True, slots=True, eq=False)
class Maximised:
    """The axis is reduced by a maximum.

    Exact where the removed entries are zero and none is negative.
    """

    axis: Axis


Statement = Same | Contract | Segment | Product | Fixed | Summed | Free | Averaged | Maximised
Relation = Callable[[Node], Iterable[Statement]]
Flops = Callable[[Node], tuple[int, list[Axis]]]
"""Constant and axes whose product is the FLOPs (a multiply-add counts as two)."""
Zero = Literal["all", "biased", "every", "any", "never"]
"""When a removed entry of the output is zero, given that parameters are masked to zero.

``"all"``: where all operands that carry the axis are zero; ``"biased"``: and the third input,
if there, carries it too; ``"every"``: and every input carries it; ``"any"``: where one is zero;
``"never"``."""


@dataclass(frozen=True, slots=True)
class Operator:
    """What is stated of an operator: its relation, where zeros stay zero, and its cost."""

    relation: Relation
    zero: Zero | Callable[[Node], Zero] = "all"
    flops: Flops | None = None


OPERATORS: dict[str, Operator] = {}
TRIED = "Tried"
"""Stands for every operator that nobody described but a front end tried out."""


def operator(
    *names: str, zero: Zero | Callable[[Node], Zero] = "all", flops: Flops | None = None
) -> Callable[[Relation], Relation]:
    """Register a relation for one or more ONNX operator names."""

    def register(relation: Relation) -> Relation:
        for name in names:
            OPERATORS[name] = Operator(relation, zero, flops)
        return relation

    return register


def freeze_all(node: Node, reason: str) -> Iterator[Statement]:
    """Every axis that the node touches is fixed."""
    for value in (*node.inputs, *node.outputs):
        if value is not None:
            for axis in range(value.ndim):
                yield Fixed((value, axis), reason)


def described(node: Node) -> Operator | None:
    """What is stated of the node's operator, or what trying it out has shown."""
    return OPERATORS.get(node.op) or (OPERATORS[TRIED] if "trial" in node.attrs else None)


def statements(node: Node) -> Iterable[Statement]:
    """The node's statements; an operator that nobody described freezes what it touches."""
    known = described(node)
    if known is None:
        return freeze_all(node, f"nobody has described what {node.where} does to channels")
    return known.relation(node)
