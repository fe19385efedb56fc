"""Progress: the engine reports phases; whoever listens shows them.

The engine calls `report` and knows nothing of bars. `shown` draws a bar while its block runs, in a
notebook or a terminal, if that takes longer than half a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial, wraps
from typing import Any, ParamSpec, TypeVar

from spa_kernel import switch

Given = ParamSpec("Given")
Result = TypeVar("Result")

Listener = Callable[[str, int, int | None], None]
"""Called with the phase (``"scoring"``), how much of it is done, and of how much if known."""

_PATIENCE = 0.5
"""Seconds of work before anything is shown."""
_INTERVAL = 0.1
"""Seconds between two updates: each one is a message to the browser."""

watchers: list[Listener] = []
"""These hear every report, wherever it is made, and leave the bar alone."""

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(phase: str, done: int = 0, total: int | None = None) -> None:
    """Say what is being done; costs next to nothing when nobody listens.

    Parameters
    ----------
    phase : str
        ``"capturing"``, ``"coupling"``, ``"scoring"``, ``"planning"``, ``"timing"``,
        ``"exporting"``, ``"applying"`` or ``"verifying"``.
    done, total : int
        How far the phase has come, where it can be counted.
    """
    listener = _listener.get()
    if listener is not None:
        listener(phase, done, total)
    for watcher in watchers:
        watcher(phase, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Hand every `report` made inside the block to ``listener``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def shown() -> Iterator[None]:
    """Show a bar for what is reported inside the block, and remove it at the end.

    Where somebody listens already, as a command does, it is left to them.
    """
    if _listener.get() is not None:
        yield
        return
    bar = Bar()
    try:
        with listening(bar):
            yield
    finally:
        bar.close()


def watched(job: Callable[Given, Result]) -> Callable[Given, Result]:
    """Make a function show a bar while it runs."""

    @wraps(job)
    def run(*given: Given.args, **named: Given.kwargs) -> Result:
        with shown():
            return job(*given, **named)

    return run


class Bar:
    """A listener that draws with tqdm: nothing in the first half second, then 10 times a second."""

    def __init__(
        self, make: Callable[..., Any] | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._make = make
        self._clock = clock
        self._started = self._drawn = clock()
        self._phase = ""
        self._bar: Any = None

    def __call__(self, phase: str, done: int = 0, total: int | None = None) -> None:
        now = self._clock()
        new = phase != self._phase
        if now - self._started < _PATIENCE or (not new and now - self._drawn < _INTERVAL):
            return
        self._phase, self._drawn = phase, now
        if self._bar is None:
            make = self._make or _tqdm()
            self._bar = make(total=total or 1, leave=False, bar_format="{desc}|{bar}| {elapsed}")
        elif new:
            self._bar.reset(total=total or 1)
        self._bar.set_description(f"{phase} {done} of {total}" if total else phase, refresh=False)
        self._bar.n = done
        self._bar.refresh()

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            # tqdm leaves a bar in red that has not come to its end
            self._bar.n = self._bar.total
            self._bar.close()
            self._bar = None


def _tqdm() -> Callable[..., Any]:
    """The bar that suits the place; tqdm looks for a notebook itself."""
    import tqdm.auto

    make = tqdm.auto.tqdm if switch.allowed() else tqdm.tqdm
    # Text goes to a terminal only: elsewhere it stays, in red, and nbgrader takes it for an error.
    return partial(make, disable=None)
