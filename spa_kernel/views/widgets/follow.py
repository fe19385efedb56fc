"""Views that are drawn anew when their model changes, whoever changed it."""

from __future__ import annotations

from typing import Protocol
from weakref import ref

from spa_kernel.session import Session, turns


class Follower(Protocol):
    """A view of a session."""

    def refresh(self) -> None:
        """Show the model as it is now."""


def follow(session: Session, view: Follower) -> None:
    """Refresh a view after each change of a session, until the session is gone."""
    known, shown = ref(session), ref(session.analysis)

    def told(what: turns.What, other: Session) -> None:
        nonlocal shown
        if known() is None:
            turns.watchers.remove(told)
        elif other is known() and what == "ended" and shown() is not other.analysis:
            shown = ref(other.analysis)
            view.refresh()

    turns.watchers.append(told)
