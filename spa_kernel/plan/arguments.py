"""What a person may ask of a plan."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, get_args

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.choose import matching, patterns
from spa_kernel.plan.rounding import Rounding

TARGETS = "ratio", "flops", "params", "latency", "memory"


def check_target(given: Mapping[str, Any]) -> tuple[str, Any]:
    """The one target that is given, and its value.

    Raises
    ------
    InfeasibleTarget
        None or several, or a value that cannot be meant.
    """
    if len(given) != 1:
        found = f"got {' and '.join(given)}" if given else "got none"
        listed = f"{', '.join(TARGETS[:-1])} and {TARGETS[-1]}"
        raise InfeasibleTarget(f"give exactly one of {listed}: {found}")
    ((name, value),) = given.items()
    if name == "ratio":
        for part in value.values() if isinstance(value, Mapping) else [value]:
            checked_number(name, part)
            if not 0 <= part < 1:
                raise InfeasibleTarget(
                    f"ratio={part}: the fraction that goes is from 0 up to 1, such as ratio=0.5"
                )
        return name, value
    checked_number(name, value)
    if not value >= 1:
        raise InfeasibleTarget(
            f"{name}={value}: this is how many times smaller, 1 or more, such as {name}=2.0"
        )
    return name, value


def check_widths(round_to: int | None, rounding: Rounding | None, min_width: int) -> None:
    """Raise `InfeasibleTarget` where what is asked of widths cannot be meant."""
    if round_to is not None:
        check_whole("round_to", round_to)
    check_whole("min_width", min_width)
    if rounding is not None and rounding not in get_args(Rounding):
        raise InfeasibleTarget(
            f"rounding={rounding!r}: use {' or '.join(map(repr, get_args(Rounding)))}"
        )
    if rounding is not None and round_to is None:
        raise InfeasibleTarget(
            f"rounding={rounding!r} says nothing without round_to: add round_to=8, say, what "
            "widths are to be multiples of"
        )


def check_cost_weight(value: float, target: str) -> None:
    """Raise `InfeasibleTarget` where a weight for costs cannot be meant."""
    if not 0 <= checked_number("cost_weight", value) <= 10:
        raise InfeasibleTarget(f"cost_weight={value}: use 0 up to 10, such as cost_weight=1")
    if value and target == "ratio":
        raise InfeasibleTarget(
            f"cost_weight={value} says nothing with ratio, which costs nothing: give a target such "
            "as flops=2.0"
        )


def check_whole(name: str, value: Any) -> None:
    """Raise `InfeasibleTarget` unless a value is a whole number of one or more."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < 1:
        raise InfeasibleTarget(f"{name}={value!r}: use a whole number of 1 or more")


def checked_number(name: str, value: Any) -> float:
    """A finite real number, or an error."""
    real = isinstance(value, int | float | np.integer | np.floating)
    if not real or isinstance(value, bool) or not math.isfinite(value):
        raise InfeasibleTarget(f"{name}={value!r} is not a number")
    return float(value)


def largest_ratios(groups: list[Group], value: float | Mapping[str, float]) -> np.ndarray:
    """float64 per group, from ``max_ratio``; 0.9 for groups that a mapping does not name."""
    for part in value.values() if isinstance(value, Mapping) else [value]:
        try:
            sound = 0 < checked_number("max_ratio", part) <= 1
        except InfeasibleTarget:
            sound = False
        if not sound:
            raise InfeasibleTarget(f"max_ratio={part!r}: use more than 0 and at most 1")
    if not isinstance(value, Mapping):
        return np.full(len(groups), float(value))
    found = per_group(groups, value, "max_ratio")
    return np.where(np.isnan(found), 0.9, found)


def per_group(groups: list[Group], value: Mapping[str, float], what: str) -> np.ndarray:
    """float64 per group from a mapping of ids, names or globs; NaN for groups without a match.

    ``"*"`` stands for all groups that nothing else in the mapping matches.

    Raises
    ------
    InfeasibleTarget
        A name that nothing has, or two for one group whose numbers differ.
    """
    if not value:
        raise InfeasibleTarget(f"{what}={{}} names no group: give a number, or name groups")
    found = np.full(len(groups), np.nan)
    by: dict[int, str] = {}
    position = {group.id: i for i, group in enumerate(groups)}
    for key, number in value.items():
        (pattern,) = patterns(key)
        if pattern == "*":
            continue
        for group in matching(groups, pattern, what, members=False)[0]:
            i = position[group.id]
            if i in by and found[i] != number:
                raise InfeasibleTarget(
                    f"{what}: {group.id} ({group.name}) is {found[i]:g} by {by[i]!r} and "
                    f"{number:g} by {pattern!r}: say which by its id"
                )
            found[i], by[i] = number, pattern
    return np.where(np.isnan(found), value.get("*", np.nan), found)


def check_within(
    groups: list[Group], ratio: float | Mapping[str, float], ratios: np.ndarray, most: np.ndarray
) -> None:
    """Raise `InfeasibleTarget` where a ratio is more than ``max_ratio`` lets any group lose."""
    if not isinstance(ratio, Mapping):
        if ratio > most.max(initial=0) and len(groups):
            raise InfeasibleTarget(
                f"ratio={ratio} is more than max_ratio={most.max():g}, the most that any group "
                "may lose: give a larger max_ratio"
            )
        return
    for i in np.flatnonzero(ratios > most):
        raise InfeasibleTarget(
            f"ratio: {groups[i].id} ({groups[i].name}) is to lose {ratios[i]:g}, more than "
            f"max_ratio={most[i]:g}: give a larger max_ratio"
        )
