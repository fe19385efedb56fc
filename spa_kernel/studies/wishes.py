"""What a person asks a sweep for: criteria and targets, and what to call them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.importance import find
from spa_kernel.plan.arguments import TARGETS
from spa_kernel.session import Session

Wishes = dict[str, Any]
"""Arguments of `Session.prune`."""

PLAIN = str, int, float, bool, type(None)


def criterion_wish(entry: Any) -> tuple[str, Wishes]:
    """A criterion, or settings with one, as a label and arguments of `Session.prune`.

    Raises
    ------
    InfeasibleTarget
        There is no such criterion.
    """
    settings = dict(entry) if isinstance(entry, Mapping) else {"criterion": entry}
    if "criterion" not in settings:
        raise InfeasibleTarget(
            f"criteria: {entry!r} names no criterion: use a name, or settings such as "
            '{"criterion": "l1", "norm": "max"}'
        )
    chosen = find(settings.pop("criterion"))
    return worded(chosen.name, settings), {"criterion": chosen, **settings}


def target_wish(entry: Any) -> tuple[str, Wishes]:
    """A target, or settings with one, as a label and arguments of `Session.prune`.

    Raises
    ------
    InfeasibleTarget
        It is neither a number nor settings with one target.
    """
    if numeric(entry):
        entry = {"flops": entry}
    goals = [name for name in TARGETS if name in entry] if isinstance(entry, Mapping) else []
    if len(goals) != 1:
        raise InfeasibleTarget(
            f"targets: {entry!r} is no target: use a number, which means FLOPs, or settings with "
            f'one of {", ".join(TARGETS)}, such as {{"params": 3}}'
        )
    settings = dict(entry)
    goal = settings.pop(goals[0])
    return worded(f"{goals[0]}={text(goal)}", settings), dict(entry)


def labelled(entries: Iterable[tuple[str, Wishes]], what: str) -> dict[str, Wishes]:
    """Entries by label; each must have its own, and there must be one.

    Raises
    ------
    InfeasibleTarget
    """
    found: dict[str, Wishes] = {}
    for label, wish in entries:
        if label in found:
            raise InfeasibleTarget(f"{what}: {label!r} stands there twice")
        found[label] = wish
    if not found:
        raise InfeasibleTarget(f"{what}: give at least one")
    return found


def listed(entries: Any) -> list[Any]:
    """One entry, or several."""
    one = isinstance(entries, str | Mapping | Real) or callable(entries)
    return [entries] if one or not isinstance(entries, Iterable) else list(entries)


def check_names(wishes: Iterable[Wishes]) -> None:
    """Raise `TypeError`, as a call would, where an argument does not exist."""
    known = {*inspect.signature(Session.plan).parameters, "verify", "steps", "between"} - {"self"}
    for wish in wishes:
        for name in wish:
            if name not in known:
                raise TypeError(f"sweep() got an unexpected keyword argument {name!r}")


def default(name: str) -> Any:
    """What an argument of `Session.importance` is where nobody gave it."""
    return inspect.signature(Session.importance).parameters[name].default


def worded(name: str, settings: Mapping[str, Any]) -> str:
    """A name, and the settings that make it another one."""
    more = [f"{k}={text(v)}" if isinstance(v, PLAIN) else k for k, v in settings.items()]
    return ", ".join([name, *more])


def text(value: Any) -> str:
    """A setting in few letters."""
    return f"{float(value):g}" if numeric(value) else str(value)


def numeric(value: Any) -> bool:
    """Whether a value is a number; a bool is none."""
    return isinstance(value, Real) and value is not True and value is not False
