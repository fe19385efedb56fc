"""A criterion from the text of a cell, whose last expression is the score."""

from __future__ import annotations

import ast
import linecache
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import CodeType
from typing import Any

import numpy as np
from IPython.core.error import UsageError

from spa_kernel.coupling.result import Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.importance import STATISTICS, Context
from spa_kernel.importance.registry import Per

TRIALS = (4,), (4, 3), (4, 3, 2, 2)
"""Shapes of the parameters that a score is tried out on."""


@dataclass
class Score:
    """What a cell computes.

    Parameters
    ----------
    name : str
        Of the criterion.
    text : str
        The cell.
    per : {"element", "channel"}
    needs : tuple of str
    variables : callable
        The notebook's variables, looked up whenever the score is computed.

    Raises
    ------
    UsageError
        It is no Python, or its last line is no expression.
    """

    name: str
    text: str
    per: Per
    needs: tuple[str, ...]
    variables: Callable[[], Mapping[str, Any]]
    summary: str = field(init=False)
    _parts: tuple[CodeType, CodeType] = field(init=False)
    _used: set[str] = field(init=False)

    def __post_init__(self) -> None:
        file = f"<criterion {self.name}>"
        try:
            tree = ast.parse(self.text, file)
            self._used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            *before, last = tree.body or [ast.Pass()]
            if not isinstance(last, ast.Expr):
                raise UsageError(
                    f"%%spa_criterion {self.name}: the last line must be an expression, the score, "
                    "such as abs(w) or np.square(w)"
                )
            tree.body = before
            score = ast.Expression(last.value)
            self._parts = compile(tree, file, "exec"), compile(score, file, "eval")
        except SyntaxError as error:
            line = (error.text or "").strip()
            raise UsageError(
                f"%%spa_criterion {self.name}: line {error.lineno}: {error.msg}: {line}"
            ) from None
        lines = self.text.splitlines(keepends=True)
        linecache.cache[file] = (len(self.text), None, lines, file)
        first = lines[0].strip()
        self.summary = first.lstrip("# ") if first.startswith("#") else ast.unparse(last.value)

    def __call__(self, context: Context, what: Any, array: np.ndarray | None = None) -> Any:
        """The score of a parameter (name and array), or of a group."""
        if self.per == "channel":
            names = {"group": what, **self._given(context, None)}
        else:
            names = {"name": what, "w": array, **self._given(context, what)}
        # One dictionary, so that functions and comprehensions of the cell see all names too.
        names = {**self.variables(), "np": np, "context": context, **names}
        before, score = self._parts
        try:
            exec(before, names)
            return eval(score, names)
        except Exception as error:
            where = what.id if isinstance(what, Group) else what
            nothing = [need for need in self.needs if names.get(need) is None]
            hint = f"; there is no {' and no '.join(nothing)} of it (None)" if nothing else ""
            raise InfeasibleTarget(
                f"criterion {self.name!r} fails for {where!r}: "
                f"{type(error).__name__}: {error}{hint}"
            ) from error

    def _given(self, context: Context, parameter: str | None) -> dict[str, Any]:
        """What was asked for, by name; of one parameter where it is kept by parameter."""
        found = {need: context.given[need] for need in self.needs}
        for need, content in found.items():
            if parameter is not None and by_parameter(need):
                found[need] = content.get(parameter)
        return found

    def try_out(self) -> None:
        """Compute the score of small parameters, to catch mistakes at once.

        Raises
        ------
        UsageError
            It fails, or does not have one number per element.
        """
        made_up = all(by_parameter(need) for need in self.needs)
        if self.per == "channel" or not made_up or self._used & {"context", "name"}:
            # Nothing true to life could be made up.
            return
        rng = np.random.default_rng(0)
        for shape in TRIALS:
            arrays = {need: {"w": rng.random(shape)} for need in self.needs}
            context: Any = _Nothing(arrays)
            w = rng.standard_normal(shape)
            try:
                found = np.shape(self(context, "w", w))
            except InfeasibleTarget as error:
                raise UsageError(
                    f"{str(error).replace(repr('w'), f'a parameter of shape {list(shape)}')}"
                ) from None
            if found != shape:
                raise UsageError(
                    f"%%spa_criterion {self.name}: the score of a parameter of shape "
                    f"{list(shape)} has shape {list(found)}: it must be one number per element"
                )


@dataclass
class _Nothing:
    """Stands for a `Context` that the cell does not look at."""

    given: Mapping[str, Any]


def by_parameter(need: str) -> bool:
    """Whether a statistic is kept by the name of a parameter."""
    return need in STATISTICS and STATISTICS[need].content.startswith(("parameter", "the same"))
