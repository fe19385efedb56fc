"""From a session to what the panel shows of it: plain values that JSON can hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spa_kernel.importance import criteria

if TYPE_CHECKING:
    from spa_kernel.coupling.result import Group
    from spa_kernel.session import History, Session

BINS = 24
"""Digits of a spark at most."""


def model_of(session: Session) -> dict[str, Any]:
    """A ``Model`` of the schema, but for its name and revision."""
    start, now = session.history[0], session.history.current
    return {
        "kind": type(session.model).__name__,
        "framework": session.framework,
        "flops": [start.flops, now.flops],
        "params": [start.params, now.params],
        "history": _history(session.history),
        "groups": _groups(session.groups),
        "notes": list(session.notes),
    }


def _history(history: History) -> dict[str, Any]:
    steps = list(history)
    return {
        "label": [step.label for step in steps],
        "flops": [step.flops for step in steps],
        "params": [step.params for step in steps],
        "seconds": [round(step.seconds, 3) for step in steps],
        "values": [dict(step.values) for step in steps],
        "position": history.position,
        "undo": _ability(history.position, "The model is as it was at the start."),
        "redo": _ability(history.undone, "Nothing was undone."),
    }


def _ability(steps: int, reason: str) -> dict[str, Any]:
    return {"steps": steps, "reason": "" if steps else reason}


def _groups(groups: Sequence[Group]) -> dict[str, Any]:
    reasons = list(dict.fromkeys(group.reason for group in groups if not group.prunable))
    index = {reason: i for i, reason in enumerate(reasons)}
    return {
        "id": [group.id for group in groups],
        "name": [group.name for group in groups],
        "size": [group.size for group in groups],
        "blocks": [group.blocks for group in groups],
        "members": [len(group.members) for group in groups],
        "why": [-1 if group.prunable else index[group.reason] for group in groups],
        "reasons": reasons,
    }


def sparks(groups: Sequence[Group], scores: Mapping[str, np.ndarray]) -> list[str]:
    """For each group how its scores rise, in digits; empty where it has none."""
    return [spark(scores[group.id]) if group.id in scores else "" for group in groups]


def spark(scores: np.ndarray) -> str:
    """Scores in rising order as at most `BINS` digits, each of a mean; 9 is the highest score."""
    rising = np.sort(scores)
    edges = np.linspace(0, len(rising), min(BINS, len(rising)) + 1).astype(int)
    means = np.add.reduceat(rising, edges[:-1]) / np.diff(edges)
    # Relative to the highest, so that scores that hardly differ look as they are.
    heights = means / rising[-1] if rising[-1] > 0 else np.zeros(len(means))
    return "".join(str(int(height)) for height in np.clip(np.rint(heights * 9), 0, 9))


def criteria_columns() -> dict[str, list[Any]]:
    """``Criteria`` of the schema."""
    known = criteria()
    return {
        "name": list(known),
        "summary": [entry.summary for entry in known.values()],
        "asks": [entry.asks for entry in known.values()],
        "live": [not entry.needs for entry in known.values()],
    }
