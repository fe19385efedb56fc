"""What a `dot_general` sums over, as an equation."""

from __future__ import annotations

from string import ascii_letters
from typing import Any


def equation(numbers: Any, ranks: tuple[int, int]) -> str:
    """The equation of an Einsum for ``dimension_numbers``, of operands of these ranks."""
    (mine, other), (batch_a, batch_b) = numbers
    letters = iter(ascii_letters)
    left, right = ([""] * rank for rank in ranks)
    result = []
    for i, j in zip(batch_a, batch_b, strict=True):
        left[i] = right[j] = next(letters)
        result.append(left[i])
    for i, j in zip(mine, other, strict=True):
        left[i] = right[j] = next(letters)
    for term in (left, right):
        for i, letter in enumerate(term):
            if not letter:
                term[i] = next(letters)
                result.append(term[i])
    return f"{''.join(left)},{''.join(right)}->{''.join(result)}"
