"""The explorer: what could go, what that would do, and the buttons that do it and take it back."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from spa_kernel.errors import SpaError
from spa_kernel.magics.line import prune_line
from spa_kernel.session.preview import Preview
from spa_kernel.views.blocks import Block, Line
from spa_kernel.views.plan_view import total_facts
from spa_kernel.views.units import count, factor
from spa_kernel.views.widgets.busy import Busy, button
from spa_kernel.views.widgets.controls import Controls
from spa_kernel.views.widgets.drawn import drawn
from spa_kernel.views.widgets.follow import follow
from spa_kernel.views.widgets.graph import GraphView
from spa_kernel.views.widgets.heat import HeatView
from spa_kernel.views.widgets.history import HistoryView
from spa_kernel.views.widgets.looks import framed
from spa_kernel.views.widgets.naming import called
from spa_kernel.views.widgets.tabs import Compared, Tabs, Widths

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session


NARROW = w.Layout(width="7em")


class Explorer:
    """A live view of a session to try out and carry out prunes.

    Parameters
    ----------
    session : Session
        Held weakly: the explorer does not keep a model alive.
    data, loss
        As for `spa_kernel.session.Session.plan`, for criteria that need them.
    criterion : str
        What to begin with.
    expressions : dict of str to str
        What ``data`` and ``loss`` are called in the notebook, for the line that is shown.
    """

    def __init__(
        self,
        session: Session,
        data: Any = None,
        loss: Any = None,
        criterion: str = "l1",
        expressions: dict[str, str] | None = None,
    ) -> None:
        self._preview = Preview(session)
        self._given = {"data": data, "loss": loss}
        self._expressions = expressions or {}
        self._name = called(session)
        self._plan: Plan | None = None
        self._problem = ""
        self._facts = w.VBox()
        self._line = w.HTML()
        self._controls = Controls(
            lambda: self._preview.session.groups, self._given, criterion, self.propose
        )
        self._prune = button(
            "Prune", "scissors", self._do_prune, button_style="primary", layout=NARROW
        )
        self._undo = button("Undo", "undo", lambda: self._move("undo"), layout=NARROW)
        self._redo = button("Redo", "repeat", lambda: self._move("redo"), layout=NARROW)
        self._busy = Busy([self._prune, self._undo, self._redo], self._settle)
        self._tabs = Tabs(
            {
                "Groups": self._graph,
                "Importance": self._importance,
                "Widths": Widths,
                "History": self._history,
                "Before and after": lambda: Compared(self._preview),
            }
        )
        aside = w.VBox([self._controls.widget], layout=w.Layout(flex="0 0 auto"))
        main = w.VBox(
            [self._facts, self._line, w.HBox([self._prune, self._undo, self._redo]),
             self._busy.widget, self._tabs.widget],
            layout=w.Layout(flex="1 1 32em", min_width="0"),
        )  # fmt: skip
        row = w.HBox([aside, main], layout=w.Layout(flex_flow="row wrap", width="100%"))
        self.widget = framed([row])
        self.propose()
        follow(session, self)

    @property
    def plan(self) -> Plan | None:
        """What the settings come to, if they come to anything."""
        return self._plan

    def propose(self) -> None:
        """A dry run with the present settings."""
        settings = self._controls.settings()
        self._problem = ""
        try:
            self._plan = self._preview.plan(**settings, **self._given)
        except SpaError as error:
            self._plan, self._problem = None, str(error)
        self._facts.children = [drawn(self._foretold())]
        line = prune_line(self._name, {**settings, **self._expressions})
        self._line.value = (
            '<div class="spa-line"><span class="spa-muted">the same, typed: </span>'
            f'<code title="click to mark the line, then copy it">{escape(line)}</code></div>'
        )
        self._tabs.show(self._plan)
        self._busy.settle()

    def refresh(self) -> None:
        """The model has changed: show it as it is now."""
        self._controls.refresh()
        self._tabs.refresh()
        self.propose()

    def _foretold(self) -> list[Block]:
        if self._plan is None:
            return [Line(self._problem, tone="bad")]
        return [total_facts(self._plan.flops, self._plan.params, [self._plan])]

    def _graph(self) -> GraphView:
        view = GraphView(self._preview.session)
        view.on_select(self._controls.choose)
        return view

    def _importance(self) -> HeatView:
        criterion = self._controls.criterion
        view = HeatView(self._preview.session, criterion.value, **self._given)
        criterion.observe(lambda change: view.choose(change["new"]), "value")
        return view

    def _history(self) -> HistoryView:
        return HistoryView(self._preview.session)

    def _do_prune(self) -> None:
        settings = self._controls.settings()

        def job() -> str:
            report = self._preview.session.prune(**settings, **self._given)
            checked = "verified" if report.verified else "not verified"
            notes = "".join(f" Note: {note}." for note in report.notes)
            return (
                f"Pruned, {checked}: FLOPs ÷ {factor(*report.flops)}, "
                f"parameters ÷ {factor(*report.params)}.{notes}"
            )

        self._busy.do("Pruning", job)

    def _move(self, verb: str) -> None:
        def job() -> str:
            getattr(self._preview.session, verb)()
            done = self._preview.session.history.position
            return f"{verb.capitalize()} done: the model is at step {done}, bit for bit."

        self._busy.do(verb.capitalize(), job)

    def _settle(self) -> None:
        """What can be done now; what cannot says why."""
        try:
            history = self._preview.session.history
        except SpaError as error:
            for each in (self._prune, self._undo, self._redo):
                each.disabled, each.tooltip = True, str(error)
            return
        nothing = self._plan is not None and not self._plan.removed
        self._able(
            self._prune,
            self._problem or ("nothing would go with these settings" if nothing else ""),
            "carry this out in place; Undo takes it back bit for bit",
        )
        self._able(
            self._undo,
            "" if history.position else "nothing has been pruned yet",
            "take the last prune back",
        )
        self._able(
            self._redo,
            "" if history.undone else "nothing has been undone",
            f"do an undone prune again ({count(history.undone, 'step')} there)",
        )

    @staticmethod
    def _able(button: w.Button, reason: str, can: str) -> None:
        button.disabled, button.tooltip = bool(reason), reason or can
