"""Integers that remember which attribute or tensor size they were computed from.

While a forward is recorded, integer attributes of modules and sizes read from tensors are
`TrackedInt`. Arithmetic keeps the expression; anything that loses it (``int(x)``,
``math.sqrt``) leaves a plain number, which counts as written in the code. So provenance can
only be missing, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spa_kernel.graph.sizes import ARITHMETIC, Const, Expr, Op

EQUALS: list[tuple[Expr, Expr]] = []
"""Comparisons that came out equal in the forward that is being recorded."""


class TrackedInt(int):
    """An int with the expression that it came from."""

    expr: Expr

    def __new__(cls, value: int, expr: Expr) -> TrackedInt:
        self = super().__new__(cls, value)
        self.expr = expr
        return self

    def __eq__(self, other: object) -> bool:
        equal = int(self) == other
        if equal and isinstance(other, TrackedInt):
            EQUALS.append((self.expr, other.expr))
        return equal

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = int.__hash__

    def __neg__(self) -> TrackedInt:
        return TrackedInt(-int(self), Op("-", Const(0), self.expr, -int(self)))

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)


def expression(value: int) -> Expr:
    """The expression behind an integer; a plain one is a constant of the code."""
    return value.expr if isinstance(value, TrackedInt) else Const(int(value))


def _binary(symbol: str, swap: bool) -> Callable[[TrackedInt, Any], Any]:
    plain = ARITHMETIC[symbol]

    def method(self: TrackedInt, other: Any) -> Any:
        if type(other) is not TrackedInt and type(other) is not int:
            a, b = (other, int(self)) if swap else (int(self), other)
            return plain(a, b) if isinstance(other, float | bool) else NotImplemented
        left, right = (other, self) if swap else (self, other)
        value = plain(int(left), int(right))
        return TrackedInt(value, Op(symbol, expression(left), expression(right), value))

    return method


for _name, _symbol in {"add": "+", "sub": "-", "mul": "*", "floordiv": "//"}.items():
    setattr(TrackedInt, f"__{_name}__", _binary(_symbol, swap=False))
    setattr(TrackedInt, f"__r{_name}__", _binary(_symbol, swap=True))
