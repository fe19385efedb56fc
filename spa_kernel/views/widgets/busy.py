"""Work that a click starts: one job at a time, with its phase shown, and errors as sentences."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as w

from spa_kernel import progress
from spa_kernel.errors import SpaError

INTERVAL = 0.1
"""Seconds between two updates: each one is a message to the browser."""
REST = 0.25
"""Seconds that buttons stay disabled after a job: clicks that come now were made while it ran."""


class Busy:
    """The line under the buttons, and the rule that a job runs once however often one clicks.

    Parameters
    ----------
    buttons : sequence of ipywidgets.Button
        Disabled while a job runs.
    settled : callable
        Enables the buttons that can do something now, and says of the others why they cannot.
    """

    def __init__(self, buttons: Sequence[w.Button], settled: Callable[[], None]) -> None:
        self._buttons, self._settled = buttons, settled
        self._bar = w.FloatProgress(min=0, max=1, layout=w.Layout(width="12em", display="none"))
        self._text = w.HTML()
        self._running = False
        self._drawn = 0.0
        self.widget = w.HBox([self._bar, self._text])
        self.widget.add_class("spa-busy")

    def say(self, text: str, tone: str = "muted") -> None:
        """Show a sentence; ``tone`` as for `spa_kernel.views.blocks.Cell`."""
        self._text.value = f'<span class="spa-{tone}" role="status">{escape(text)}</span>'

    def settle(self) -> None:
        """Say what the buttons can do now; while a job runs or has just run, that waits."""
        if not self._running:
            self._settled()

    def do(self, what: str, job: Callable[[], str]) -> None:
        """Run a job that returns what to say when it is done; nothing while one runs.

        An error of the engine is said; an interrupt too, as the engine has put the model back.
        """
        if self._running:
            return
        self._running = True
        for button in self._buttons:
            button.disabled = True
        self.say(f"{what} …")
        try:
            with progress.listening(self._heard):
                done = job()
            self.say(done, "good")
        except SpaError as error:
            self.say(str(error), "bad")
        except KeyboardInterrupt:
            self.say(f"{what} was interrupted; the model is as it was", "bad")
        finally:
            self._bar.layout.display = "none"
            try:
                asyncio.get_running_loop().call_later(REST, self._rested)
            except RuntimeError:
                # No front end, and so nobody who clicks twice.
                self._rested()

    def _rested(self) -> None:
        self._running = False
        self._settled()

    def _heard(self, phase: str, done: int = 0, total: int | None = None) -> None:
        now = time.monotonic()
        if now - self._drawn < INTERVAL:
            return
        self._drawn = now
        self._bar.layout.display = None
        self._bar.value = done / total if total else 0.0
        self.say(f"{phase} {done} of {total}" if total else phase)


def button(text: str, icon: str, act: Callable[[], Any], **more: Any) -> w.Button:
    """A button that does one thing."""
    made = w.Button(description=text, icon=icon, **more)
    made.on_click(lambda _: act())
    return made
