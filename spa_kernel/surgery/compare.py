"""Compare the recording of a pruned network with what the plan foretold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import Any

import numpy as np

from spa_kernel.coupling.averages import proportion
from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.torch.content import Content
from spa_kernel.graph.factors import MAIN
from spa_kernel.graph.ir import Graph, Node
from spa_kernel.graph.operators import OPERATORS
from spa_kernel.graph.ops_elementwise import elementwise

MEMORY = {"Identity", "Reshape", "Expand", "Transpose"}


COEFFICIENTS = {
    "MatMul": {"alpha": MAIN},
    "Gemm": {"alpha": MAIN, "beta": 2},
    "Add": {"alpha": 1, "beta": 0},
    "Sub": {"alpha": 1},
}
"""Numbers that multiply what an operator makes, or the operand in a slot."""
NAMES = ("alpha",), ("beta",)


@dataclass(frozen=True, slots=True)
class ScalarChange:
    """A number in a call that came out differently after the prune.

    ``node`` is the call in the new graph, ``old`` the same call in the old one. ``factor`` is
    what the call's result, or its operand in ``slot``, must be multiplied by to be what it was
    before; ``None`` where no factor puts it right. Changes of the same ``kind`` have the same
    factor whatever goes, and may have to be put right together.
    """

    node: Node
    old: Node
    before: float
    after: float
    factor: float | None
    slot: int = MAIN
    kind: bytes = b""


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
        changes += [*coefficients(a, b), *means(coupling, a, b)]
        whole = a.op not in OPERATORS or OPERATORS[a.op].relation is elementwise
        for place, (mine, other) in enumerate(zip(numbers, others, strict=False)):
            if a.op in COEFFICIENTS and isinstance(mine, tuple) and mine[:1] in NAMES:
                continue
            for x, y in differing(mine, other, whole):
                changes.append(changed(a, b, place, x, y))
    return changes


def coefficients(old: Node, new: Node) -> Iterator[ScalarChange]:
    """Changes of the coefficients that an operator has besides its operands."""
    for name, slot in COEFFICIENTS.get(old.op, {}).items():
        before, after = old.attrs.get(name, 1), new.attrs.get(name, 1)
        if before != after:
            yield ScalarChange(new, old, before, after, ratio(before, after), slot)
    if old.op == "ConstantOfShape" and old.attrs["value"] != new.attrs["value"]:
        before, after = old.attrs["value"], new.attrs["value"]
        yield ScalarChange(new, old, before, after, ratio(before, after))


def means(coupling: Coupling, old: Node, new: Node) -> Iterator[ScalarChange]:
    """Axes of which a mean is taken over fewer entries: the sum is divided by a smaller number."""
    x, y = old.inputs[:1], new.inputs[:1]
    for a, b in zip(x, y, strict=True) if old.op == "ReduceMean" else ():
        assert a is not None and b is not None
        for axis in old.attrs["axes"]:
            before, after = a.shape[axis], b.shape[axis]
            if before != after:
                kind = proportion(coupling.axes[a, axis])
                yield ScalarChange(new, old, before, after, ratio(after, before), kind=kind)


def ratio(before: float, after: float) -> float | None:
    """The factor between two numbers, where it is a positive number."""
    quotient = before / after if after else 0.0
    return quotient if 0 < quotient < inf else None


def changed(old: Node, new: Node, place: int, before: Any, after: Any) -> ScalarChange:
    """What a changed number, or constant, means for the result of its call.

    Raises
    ------
    VerificationFailed
        For a constant whose entries did not all change by the same factor.
    """
    if isinstance(before, str) or isinstance(after, str):
        pair = common(before, after)
        if pair is None:
            raise VerificationFailed(
                f"{old.where} uses a constant that is worked out from a pruned size", (old,)
            )
        before, after = pair
    factor = None
    if old.op == "Mul" or (old.op == "Div" and place == 0):
        factor = ratio(before, after)
    elif old.op == "Div" and place == 1:
        factor = ratio(after, before)
    return ScalarChange(new, old, before, after, factor)


def common(before: Any, after: Any) -> tuple[float, float] | None:
    """An entry of two constants that differ by one factor, before and after."""
    if not isinstance(before, Content) or not isinstance(after, Content):
        return None
    x, y = before.entries.ravel(), after.entries.ravel()
    size = np.where(np.isfinite(x), np.abs(x), 0)
    if before.entries.shape != after.entries.shape or not size.any():
        return None
    at = int(size.argmax())
    # The constant was rounded to its own precision, before and after.
    exact = y[at] != 0 and np.allclose(x * (y[at] / x[at]), y, rtol=1e-6, atol=0)
    return (float(x[at]), float(y[at])) if exact else None


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
