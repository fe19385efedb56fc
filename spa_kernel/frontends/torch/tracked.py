"""Integers that remember which attribute or tensor size they were computed from.

While a forward is recorded, integer attributes of modules and sizes read from tensors are
`TrackedInt`. Arithmetic keeps the expression; anything that loses it (``int(x)``,
``math.sqrt``) leaves a plain number, which counts as written in the code. So provenance can
only be missing, never wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from spa_kernel.graph.sizes import ARITHMETIC, Attr, Const, Expr, Op

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


@contextmanager
def tracked_attributes(model: nn.Module) -> Iterator[None]:
    """Replace integer attributes of all modules by tracked ones for a while.

    Numbers up to 1 stay plain: nothing of that size can be pruned.
    """
    undo: list[tuple[dict[str, Any], str, Any]] = []
    EQUALS.clear()
    try:
        for owner, module in model.named_modules():
            attributes = vars(module)
            for name, value in list(attributes.items()):
                kind = type(value)
                if kind is int:
                    if value > 1:
                        undo.append((attributes, name, value))
                        attributes[name] = TrackedInt(value, Attr(owner, name, None, value))
                elif (kind is tuple or kind is list) and any(
                    type(v) is int and v > 1 for v in value
                ):
                    undo.append((attributes, name, value))
                    attributes[name] = kind(
                        TrackedInt(v, Attr(owner, name, i, v)) if type(v) is int and v > 1 else v
                        for i, v in enumerate(value)
                    )
        yield
    finally:
        for attributes, name, value in undo:
            attributes[name] = value
