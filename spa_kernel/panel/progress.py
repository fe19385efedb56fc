"""Progress for the panels: not for what is over at once, and not too often."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from spa_kernel.panel.protocol import Message
from spa_kernel.session import turns

PATIENCE = 0.2
"""Seconds that something is done before there is a word of it."""
INTERVAL = 0.1
"""Seconds between two messages of one phase."""
MOST = 10
"""Messages within a second."""


class Progress:
    """A listener for `spa_kernel.progress`."""

    def __init__(
        self, push: Callable[[Message], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._push, self._clock = push, clock
        self._model, self._phase = "", ""
        self._started = self._last = clock()
        self._open = False
        self._times: deque[float] = deque()

    def begin(self, model: str) -> None:
        """Something is done to a model from now on."""
        self._model, self._phase, self._started = model, "", self._clock()

    def __call__(self, phase: str, done: int = 0, total: int | None = None) -> None:
        if turns.looking():
            return
        now = self._clock()
        while self._times and now - self._times[0] >= 1:
            self._times.popleft()
        again = phase == self._phase and now - self._last < INTERVAL
        # One of them is left for the end.
        if again or now - self._started < PATIENCE or len(self._times) >= MOST - 1:
            return
        self._phase, self._open = phase, True
        self._send(phase, int(done), None if total is None else int(total))

    def end(self) -> None:
        """Nothing is done any more."""
        if self._open:
            self._open = False
            self._send(None, 0, None)
        self._model, self._phase = "", ""

    def _send(self, phase: str | None, done: int, total: int | None) -> None:
        self._last = self._clock()
        self._times.append(self._last)
        self._push({
            "type": "progress", "id": None, "model": self._model,
            "phase": phase, "done": done, "total": total,
        })  # fmt: skip
