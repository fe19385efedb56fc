"""From settings back to the line that a person would have typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from spa_kernel.errors import InfeasibleTarget

_FILLED = re.compile(r"\$\w+|[{}]")
_SPECIAL = "'\"\\;?"
"""Quotation marks, and what has a meaning of its own at the end of a line."""


def prune_line(model: str, settings: Mapping[str, Any], dry_run: bool = False) -> str:
    """The ``%spa_prune`` line that does what these settings ask for.

    Parameters
    ----------
    model : str
        Name of the variable.
    settings : mapping
        As for `spa_kernel.session.Session.plan`; ``None`` means not given. ``data`` and ``loss``
        are the texts of expressions.
    dry_run : bool

    Raises
    ------
    InfeasibleTarget
        There is no line for it.

    Examples
    --------
    >>> prune_line("net", {"criterion": "l2", "flops": 2.0, "exclude": ["head"]})
    '%spa_prune net --criterion l2 --flops 2 --exclude head'
    """
    words = ["%spa_prune", model]
    for name, value in settings.items():
        if value is None or value == [] or value == {}:
            continue
        option, text = "--" + name.replace("_", "-"), _text(value)
        words += [f"{option}={quoted(text)}"] if text.startswith("-") else [option, quoted(text)]
    return " ".join(words + ["--dry-run"] * dry_run)


def quoted(word: str) -> str:
    """A word as the commands read it: in quotation marks where it holds more than names do.

    Raises
    ------
    InfeasibleTarget
        IPython would put something else in its place.
    """
    if filled := _FILLED.search(word):
        raise InfeasibleTarget(
            f"{word!r} cannot be written in a command, where IPython fills in {filled[0]!r}: put "
            "it in a variable, and give its name"
        )
    if word and not any(c.isspace() or c in _SPECIAL for c in word):
        return word
    mark = '"' if '"' not in word else "'"
    return f"{mark}{word}{mark}" if mark not in word else shlex.quote(word)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ",".join(f"{name}={_text(part)}" for name, part in value.items())
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence):
        return ",".join(map(str, value))
    return f"{value:g}" if float(f"{value:g}") == value else repr(value)
