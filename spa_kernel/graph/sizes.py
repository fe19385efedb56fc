"""Sizes that a program works out for itself, as expressions over attributes and other sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from spa_kernel.graph.ir import Axis


@dataclass(frozen=True, slots=True)
class Const:
    """A number written in the code: it cannot be repaired."""

    value: int


@dataclass(frozen=True, slots=True)
class Attr:
    """A whole number in an attribute of a module.

    ``path`` leads to it where the attribute is a container or an object: indices, keys, names.
    """

    owner: str
    name: str
    path: tuple[int | str, ...]
    value: int


@dataclass(frozen=True, slots=True)
class Dim:
    """The size of a tensor's axis, read at run time."""

    axis: Axis
    value: int


@dataclass(frozen=True, slots=True)
class Op:
    """``+``, ``-``, ``*``, ``//`` or ``ceil`` (division rounded up) of two expressions."""

    symbol: str
    left: Expr
    right: Expr
    value: int


Expr = Const | Attr | Dim | Op

ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "ceil": lambda a, b: -(-a // b),
}


@dataclass(frozen=True, slots=True)
class SizeUse:
    """The program makes ``axis`` as long as ``expr`` says.

    ``where`` names the call and the line of the model's source.
    """

    axis: Axis
    expr: Expr
    where: str
