"""Compare the recording of a pruned network with what the plan foretold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import VerificationFailed
from spa_kernel.graph.ir import Graph, Node


@dataclass(frozen=True, slots=True)
class ScalarChange:
    """A number in a call that came out differently after the prune."""

    node: Node
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
    old = coupling.graph
    if len(old.nodes) != len(graph.nodes):
        raise VerificationFailed(
            f"after the prune the forward makes {len(graph.nodes)} calls, before {len(old.nodes)}: "
            "it takes another path when sizes change"
        )
    changes: list[ScalarChange] = []
    for a, b, numbers, new in zip(old.nodes, graph.nodes, before, after, strict=True):
        if a.op != b.op:
            raise VerificationFailed(f"after the prune {a.where} has become {b.where}")
        for x, y in zip(a.outputs, b.outputs, strict=True):
            expected = coupling.shape(x, removed)
            if y.shape != expected:
                raise VerificationFailed(
                    f"{a.where} should now make shape {expected}, but makes {y.shape}"
                )
        changes.extend(ScalarChange(b, *pair) for pair in differing(numbers, new))
    return changes


def differing(a: Any, b: Any) -> Iterator[tuple[float, float]]:
    """Pairs of floating point numbers at the same place that differ."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        for x, y in zip(a, b, strict=False):
            yield from differing(x, y)
    elif isinstance(a, float) and isinstance(b, float) and a != b and not (a != a and b != b):
        yield a, b
