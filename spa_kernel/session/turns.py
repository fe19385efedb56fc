"""One thing at a time is done to a session, and whoever watches is told.

A side panel asks on a thread of its own while a cell runs: what works on a session has its turn,
and who only looks does so between turns.
"""

from __future__ import annotations

import functools
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

if TYPE_CHECKING:
    from spa_kernel.session.session import Session

What = Literal["started", "changed", "ended"]
Watcher = Callable[[What, "Session"], None]
"""Told on the thread that does it. The session is whole, and can be looked at, unless it has only
started; with what it is doing then, it may not be."""

P = ParamSpec("P")
R = TypeVar("R")

watchers: list[Watcher] = []
_looking: ContextVar[bool] = ContextVar("looking", default=False)


class Turn:
    """Whose turn it is with a session."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._depth = 0

    @property
    def busy(self) -> bool:
        """Whether something is being done that is more than looking."""
        return self._depth > 0

    @contextmanager
    def taken(self, session: Session) -> Iterator[None]:
        """Wait for others, and do something; what is done inside is part of it."""
        with self._lock:
            if _looking.get():
                yield
                return
            before = self._depth
            try:
                self._depth = before + 1
                if not before:
                    tell("started", session)
                yield
            finally:
                self._depth = before
                if not before:
                    tell("ended", session)

    @contextmanager
    def free(self, patience: float = 0.0) -> Iterator[bool]:
        """Whether nothing is being done; nothing will be until the block ends, that only looks.

        Parameters
        ----------
        patience : float
            Seconds to wait for others that look; never for something that is being done.
        """
        got = self._lock.acquire(timeout=0 if self.busy else patience)
        token = _looking.set(True)
        try:
            yield got
        finally:
            _looking.reset(token)
            if got:
                self._lock.release()

    def __reduce__(self) -> tuple[type[Turn], tuple[()]]:
        # A copy of a session has a turn of its own.
        return Turn, ()


def in_turn(method: Callable[P, R]) -> Callable[P, R]:
    """Make a method of a session one that takes its turn."""

    @functools.wraps(method)
    def wrapped(*given: P.args, **named: P.kwargs) -> R:
        session: Any = given[0]
        with session.turn.taken(session):
            return method(*given, **named)

    return wrapped


def looking() -> bool:
    """Whether what runs here and now only looks."""
    return _looking.get()


def tell(what: What, session: Session) -> None:
    """Tell all watchers; what fails there does not fail here."""
    for watcher in list(watchers):
        try:
            watcher(what, session)
        except Exception:
            logging.getLogger(__name__).exception("a watcher failed")
