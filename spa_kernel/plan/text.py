"""Plans as JSON text. What is read comes from anywhere, so every field is checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.arguments import TARGETS
from spa_kernel.plan.plan import Members, Plan

FORMAT = "spa_kernel plan"
VERSION = 1
LARGEST = 10**100
"""Of any number: costs may be more than int64 holds, but are divided as floats."""


def to_json(plan: Plan) -> str:
    """Write a plan; equal index arrays are written once."""
    tables: dict[bytes, int] = {}
    arrays: list[list[int]] = []

    def number(indices: np.ndarray) -> int:
        key = indices.tobytes()
        if key not in tables:
            tables[key] = len(arrays)
            arrays.append(indices.tolist())
        return tables[key]

    document = {
        "format": FORMAT,
        "version": VERSION,
        "settings": plain(plan.settings),
        "flops": list(plan.flops),
        "params": list(plan.params),
        "memory": list(plan.memory),
        "latency": list(plan.latency) if plan.latency else None,
        "widths": {name: list(pair) for name, pair in plan.widths.items()},
        "members": {name: [list(m) for m in pairs] for name, pairs in plan.members.items()},
        "removed": {name: number(indices) for name, indices in plan.removed.items()},
        "kept": {
            name: {str(axis): number(indices) for axis, indices in axes.items()}
            for name, axes in plan.kept.items()
        },
        "indices": arrays,
    }
    return json.dumps(document, separators=(",", ":"))


def plain(value: Any) -> Any:
    """Settings as JSON values: numpy numbers become Python ones, objects their names."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(getattr(k, "id", k)): plain(v) for k, v in value.items()}
    if isinstance(value, Sequence | set | frozenset | np.ndarray):
        return [plain(v) for v in value]
    return str(getattr(value, "id", None) or getattr(value, "__name__", None) or value)


def from_json(text: str) -> Plan:
    """Read a plan, see `Plan.from_json`."""
    try:
        document = json.loads(text)
    except (ValueError, TypeError, RecursionError) as error:
        raise InfeasibleTarget(f"this is not a plan: the text is not JSON ({error})") from error
    top = mapping(document, "the text")
    if top.get("format") != FORMAT:
        raise InfeasibleTarget(f"this is not a plan: 'format' is not {FORMAT!r}")
    if top.get("version") != VERSION:
        raise InfeasibleTarget(
            f"the plan has version {top.get('version')!r}, this spa_kernel reads version {VERSION}"
        )
    arrays = [sorted_indices(a, f"indices[{i}]") for i, a in enumerate(items(top, "indices"))]
    widths = {
        name: width_pair(pair, f"widths of {name!r}") for name, pair in field(top, "widths").items()
    }
    removed: dict[str, np.ndarray] = {}
    for name, number in field(top, "removed").items():
        indices = removed[name] = looked_up(arrays, number, f"removed of {name!r}")
        if name not in widths:
            raise damaged(f"{name!r} loses channels but has no width")
        before, after = widths[name]
        if not indices.size or indices[-1] >= before or before - indices.size != after:
            raise damaged(f"removed and widths of {name!r} do not agree")
    for name, (before, after) in widths.items():
        if before != after and name not in removed:
            raise damaged(f"the width of {name!r} changes but nothing of it is removed")
    kept = {
        name: {
            axis_number(axis, name): looked_up(arrays, number, f"kept of {name!r}")
            for axis, number in mapping(axes, f"kept of {name!r}").items()
        }
        for name, axes in field(top, "kept").items()
    }
    return Plan(
        kept=kept,
        removed=removed,
        flops=count_pair(top.get("flops"), "flops"),
        params=count_pair(top.get("params"), "params"),
        memory=count_pair(top.get("memory"), "memory"),
        widths=widths,
        members={n: member_list(m, n) for n, m in field(top, "members").items()},
        settings=wishes(field(top, "settings")),
        latency=seconds_pair(top.get("latency")),
    )


def damaged(what: str) -> InfeasibleTarget:
    """The error for a text that holds no plan."""
    return InfeasibleTarget(f"the plan is damaged: {what}. Make the plan again")


def mapping(value: Any, what: str) -> dict[str, Any]:
    """A JSON object, or an error."""
    if not isinstance(value, dict):
        raise damaged(f"{what} must be an object, not {type(value).__name__}")
    return value


def field(top: dict[str, Any], name: str) -> dict[str, Any]:
    """An object inside the plan."""
    return mapping(top.get(name), name)


def items(top: dict[str, Any], name: str) -> list[Any]:
    """A list inside the plan."""
    value = top.get(name)
    if not isinstance(value, list):
        raise damaged(f"{name} must be a list, not {type(value).__name__}")
    return value


def whole(value: Any, what: str) -> int:
    """A non-negative integer; ``true`` and ``1.0`` are none."""
    if type(value) is not int or value < 0:
        raise damaged(f"{what} must be a whole number of zero or more, not {value!r:.40}")
    if value > LARGEST:
        raise damaged(f"{what} is out of range")
    return value


def count_pair(value: Any, what: str) -> tuple[int, int]:
    """Two numbers, before and after, that do not grow."""
    if not isinstance(value, list) or len(value) != 2:
        raise damaged(f"{what} must be two numbers, before and after")
    before, after = whole(value[0], what), whole(value[1], what)
    if after > before:
        raise damaged(f"{what} grow from {before} to {after}")
    return before, after


def seconds_pair(value: Any) -> tuple[float, float] | None:
    """Seconds before and after, or nothing."""
    if value is None:
        return None
    if not isinstance(value, list) or len(value) != 2:
        raise damaged("latency must be two numbers, before and after")
    for part in value:
        if type(part) not in (int, float) or not 0 < part <= LARGEST:
            raise damaged(f"latency must be in seconds, not {part!r:.40}")
    return float(value[0]), float(value[1])


def width_pair(value: Any, what: str) -> tuple[int, int]:
    """Two widths, before and after, that fit an array."""
    before, after = count_pair(value, what)
    if before >= 2**63:
        raise damaged(f"{what} is out of range")
    return before, after


def sorted_indices(value: Any, what: str) -> np.ndarray:
    """Strictly growing indices as an int64 array."""
    if not isinstance(value, list):
        raise damaged(f"{what} must be a list")
    for index in value:
        if whole(index, what) >= 2**63:
            raise damaged(f"{what} holds a number out of range")
    array = np.array(value, dtype=np.int64)
    if (np.diff(array) <= 0).any():
        raise damaged(f"{what} must be sorted, without repeats")
    return array


def looked_up(arrays: list[np.ndarray], number: Any, what: str) -> np.ndarray:
    """A copy of one of the shared index arrays."""
    if whole(number, what) >= len(arrays):
        raise damaged(f"{what} names indices that are not there")
    indices: np.ndarray = arrays[number].copy()
    return indices


def wishes(settings: dict[str, Any]) -> dict[str, Any]:
    """What was asked for; what is put into words later is checked, all else is only kept."""
    for name in TARGETS:
        value = settings.get(name)
        parts = value.values() if name == "ratio" and isinstance(value, dict) else [value]
        for part in parts:
            if part is not None and (type(part) not in (int, float) or not 0 <= part <= LARGEST):
                raise damaged(f"{name} must be a number, not {part!r:.40}")
    if not isinstance(settings.get("scope"), str | dict | None):
        raise damaged("scope must be a word or an object")
    return dict(settings)


def axis_number(text: str, name: str) -> int:
    """An axis written as a JSON key."""
    if not text.isdecimal() or not text.isascii() or str(int(text[:9])) != text:
        raise damaged(f"{text!r:.40} is not an axis of {name!r}")
    return int(text)


def member_list(value: Any, name: str) -> Members:
    """Pairs of a tensor's name and an axis."""
    what = f"members of {name!r}"
    if not isinstance(value, list):
        raise damaged(f"{what} must be a list")
    pairs: Members = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise damaged(f"{what} must be pairs of a name and an axis")
        pairs.append((pair[0], whole(pair[1], what)))
    return pairs
