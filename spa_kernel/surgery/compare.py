"""Compare the recording of a pruned network with what the plan foretold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import VerificationFailed
from spa_kernel.graph.ir import Graph, Node
from spa_kernel.graph.operators import OPERATORS
from spa_kernel.graph.ops_elementwise import elementwise

MEMORY = {"Identity", "Reshape", "Expand", "Transpose"}


@dataclass(frozen=True, slots=True)
class ScalarChange:
    """A number in a call that came out differently after the prune.

    ``node`` is the call in the new graph, ``old`` the same call in the old one.
    """

    node: Node
    old: Node
    before: float
    after: float


def structure(
    coupling: Coupling,
    removed: np.ndarray,
    before: list[tuple[Any, ...]],
    graph: Graph,
    after: list[tuple[Any, ...]],
) -> list[ScalarChange]:
    """Check operators and shapes node by node; return the numbers that changed.

    Raises
    ------
    VerificationFailed
        At the first operator that differs or makes another shape than foretold.
    """
    old, new = calls(coupling.graph, before), calls(graph, after)
    if len(old) != len(new):
        raise VerificationFailed(
            f"after the prune the forward makes {len(new)} calls, before {len(old)}: it takes "
            "another path when sizes change",
            tuple(a for (a, _), (b, _) in zip(old, new, strict=False) if a.op != b.op)[:1],
        )
    changes: list[ScalarChange] = []
    for (a, numbers), (b, others) in zip(old, new, strict=True):
        if a.op != b.op:
            raise VerificationFailed(f"after the prune {a.where} has become {b.where}", (a,))
        for x, y in zip(a.outputs, b.outputs, strict=True):
            expected = coupling.shape(x, removed)
            if [n for n in y.shape if n != 1] != [n for n in expected if n != 1]:
                raise VerificationFailed(
                    f"{a.where} should now make shape {expected}, but makes {y.shape}", (a,)
                )
        whole = a.op not in OPERATORS or OPERATORS[a.op].relation is elementwise
        for x, y in differing(numbers, others, whole):
            if isinstance(x, str) or isinstance(y, str):
                raise VerificationFailed(
                    f"{a.where} uses a constant that is worked out from a pruned size", (a,)
                )
            changes.append(ScalarChange(b, a, x, y))
    return changes


def calls(graph: Graph, scalars: list[tuple[Any, ...]]) -> list[tuple[Node, tuple[Any, ...]]]:
    """Nodes that compute, with their numbers.

    Copies and reshapes are left out: torch makes them or not by the strides that it meets.
    """
    return [(n, s) for n, s in zip(graph.nodes, scalars, strict=True) if n.op not in MEMORY]


def differing(a: Any, b: Any, whole: bool) -> Iterator[tuple[Any, Any]]:
    """Pairs of numbers (or of constants' contents) at the same place that differ.

    ``whole``: whole numbers count too. Most calls take sizes and axes as such, and those are
    checked by the shapes that they make; to arithmetic they are numbers like others.
    """
    if isinstance(a, tuple) and isinstance(b, tuple):
        for x, y in zip(a, b, strict=False):
            yield from differing(x, y, whole)
        return
    kinds = (float, str, int) if whole else (float, str)
    if isinstance(a, kinds) and isinstance(b, kinds) and a != b and not (a != a and b != b):
        yield a, b
