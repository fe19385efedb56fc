"""Sizes that follow the batch, told from two traces of one function."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

TRACED = (2, 3)
"""The two sizes of the batch; with one sample, code may broadcast what it does not otherwise."""


class Bound(Exception):
    """The model cannot be written for any size of the batch."""


@dataclass(frozen=True, slots=True)
class Size:
    """A multiple of the batch's size, and a number."""

    factor: int
    offset: int

    @classmethod
    def between(cls, first: int, second: int) -> Size:
        """The size that is one number in the first trace and another one in the second."""
        factor = (second - first) // (TRACED[1] - TRACED[0])
        return cls(factor, first - factor * TRACED[0])

    def __int__(self) -> int:
        raise Bound("a number that follows the size of the batch")

    __index__ = __int__


Dim = int | Size
Shape = tuple[Dim, ...]


def merged(first: Any, second: Any) -> Any:
    """What both traces say, with a `Size` where numbers differ.

    Raises
    ------
    Bound
    """
    if isinstance(first, bool | np.bool_) or not isinstance(first, int | np.integer):
        return merged_others(first, second)
    if not isinstance(second, int | np.integer):
        raise Bound(f"{first} turned into {second}")
    return int(first) if first == second else Size.between(int(first), int(second))


def merged_others(first: Any, second: Any) -> Any:
    if isinstance(first, ClosedJaxpr | Jaxpr):
        return first, second
    if callable(first):
        return first
    if isinstance(first, tuple | list) and isinstance(second, tuple | list):
        if len(first) != len(second):
            raise Bound(f"{len(first)} entries turned into {len(second)}")
        parts = [merged(a, b) for a, b in zip(first, second, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else tuple(parts)
    if np.array_equal(first, second) or (first != first and second != second):
        return first
    raise Bound(f"{first} turned into {second}")


def known(shape: Shape) -> tuple[int, ...]:
    """A shape in which nothing follows the batch.

    Raises
    ------
    Bound
    """
    return tuple(int(n) for n in shape)


def broadcast(*shapes: Shape) -> Shape:
    """The shape of what is computed entry by entry."""
    rank = max(map(len, shapes))
    result: list[Dim] = [1] * rank
    for shape in shapes:
        for i, size in enumerate(shape, rank - len(shape)):
            if size != 1:
                result[i] = size
    return tuple(result)
