"""How a factor passes through operators.

Multiply the entries of some values by powers of one positive factor: which other entries must
follow, so that every operator still computes what it did? Each operator states that here, with
the four relations below, for the exponents of the factor. An operator that says nothing lets no
factor pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from spa_kernel.graph.ir import Node, Value

Pairs = tuple[tuple[int, int], ...]
"""Axis of one value, axis of another one."""

MAIN = -1
"""The slot of what an operator makes; other slots are its operands, counted from 0."""


@dataclass(frozen=True, slots=True)
class Tied:
    """The exponents of ``out`` are ``degree`` times those of ``source``.

    Axes match as ``pairs`` says; along all others both exponents are uniform.
    """

    out: Value
    source: Value
    pairs: Pairs
    degree: int = 1
    slot: int = MAIN


@dataclass(frozen=True, slots=True)
class Moved:
    """Entries of ``out`` are entries of ``source`` in other places.

    ``move`` takes an array of the source's shape, and what to put where no entry came from;
    ``back``, where it is known, turns that round.
    """

    out: Value
    source: Value
    move: Callable[[np.ndarray, int], np.ndarray]
    back: Callable[[np.ndarray], np.ndarray] | None = None


@dataclass(frozen=True, slots=True)
class Term:
    """A factor of a product: with the names of its axes, once it is reshaped to ``shape``."""

    value: Value
    sign: int
    axes: tuple[str, ...]
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Multiplied:
    """The exponents of all terms add up to zero; the product itself has the sign -1.

    Axes of the same name are the same axis. A term is uniform along the axes that it lacks.
    """

    terms: tuple[Term, ...]
    slot: int = MAIN


@dataclass(frozen=True, slots=True)
class Unscaled:
    """The factor must not reach this value."""

    value: Value


Relation = Tied | Moved | Multiplied | Unscaled
Rule = Callable[[Node], "Iterator[Relation] | None"]
FLOATS = frozenset({"float16", "bfloat16", "float32", "float64"})


def aligned(out: Value, source: Value) -> Pairs:
    """Axes of two values that broadcast: those of equal size, counted from the last one."""
    shift = out.ndim - source.ndim
    return tuple(
        (shift + i, i)
        for i, n in enumerate(source.shape)
        if shift + i >= 0 and out.shape[shift + i] == n
    )
