"""Who may run beside whom, where points of a study are worked out in threads.

Reading a model changes the process for a moment (``Module.__call__``, the shape of a tensor,
random numbers): nothing else of torch may run beside it. Evaluations may run beside each other.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition


class Gate:
    """A lock for many at once or for one alone; those who wait to be alone come first."""

    def __init__(self) -> None:
        self._condition = Condition()
        self._inside = 0
        self._waiting = 0
        self._alone = False

    @contextmanager
    def together(self) -> Iterator[None]:
        """Run beside others that do so."""
        with self._condition:
            self._condition.wait_for(lambda: not (self._alone or self._waiting))
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Run when nobody else does."""
        with self._condition:
            self._waiting += 1
            try:
                self._condition.wait_for(lambda: not (self._alone or self._inside))
                self._alone = True
            finally:
                self._waiting -= 1
                self._condition.notify_all()
        try:
            yield
        finally:
            with self._condition:
                self._alone = False
                self._condition.notify_all()


GATE = Gate()
"""The one of this process."""
