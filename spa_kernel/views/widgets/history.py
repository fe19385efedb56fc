"""The history as a list of steps to jump to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import ref

import ipywidgets as w

from spa_kernel.views.session_view import history_blocks
from spa_kernel.views.units import count
from spa_kernel.views.widgets.busy import Busy, button
from spa_kernel.views.widgets.drawn import drawn
from spa_kernel.views.widgets.looks import framed

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session


class HistoryView:
    """Steps with what they cost, and a way to each of them.

    Parameters
    ----------
    session : Session
        Held weakly.
    """

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        self._table = w.VBox()
        self._step = w.Dropdown(
            description="Go to step", style={"description_width": "5.5em"},
            layout=w.Layout(width="26em"),
        )  # fmt: skip
        self._go = button("Go", "play", self._jump, layout=w.Layout(width="6em"))
        self._note = w.HTML()
        self._busy = Busy([self._go], self._settle)
        self._step.observe(lambda _: self._busy.settle(), "value")
        self.widget = framed(
            [self._table, w.HBox([self._step, self._go]), self._note, self._busy.widget]
        )
        self.refresh()

    def refresh(self) -> None:
        """Show the history as it is now."""
        session = self._session()
        if session is None:
            self._note.value = '<span class="spa-muted">the model is gone</span>'
            return
        history = session.history
        self._table.children = [drawn(history_blocks(history))]
        self._step.options = [
            (f"{step.index}: {step.label}" + " (now)" * step.current, step.index)
            for step in history
        ]
        self._step.value = history.position
        undone = history.undone
        self._note.value = (
            f'<span class="spa-muted">A new prune from here would lose the '
            f"{count(undone, 'undone step')} for good.</span>"
            if undone
            else ""
        )
        self._busy.settle()

    def show(self, plan: Plan | None) -> None:
        """A plan that is only proposed is not part of the history."""

    def _settle(self) -> None:
        session = self._session()
        here = session is None or self._step.value in (None, session.history.position)
        self._go.disabled = here
        self._go.tooltip = "the model is at this step" if here else "move the model to this step"

    def _jump(self) -> None:
        session = self._session()
        if session is None:
            return
        target = self._step.value

        def job() -> str:
            distance = target - session.history.position
            if distance:
                (session.undo if distance < 0 else session.redo)(abs(distance))
            return f"The model is at step {target}, bit for bit."

        self._busy.do(f"Going to step {target}", job)
