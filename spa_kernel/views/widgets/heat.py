"""The importance heatmap, live: another criterion, another order, another plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property, partial
from html import escape
from typing import TYPE_CHECKING, Any
from weakref import ref

import ipywidgets as widgets
import numpy as np

from spa_kernel import progress
from spa_kernel.errors import SpaError
from spa_kernel.importance import criteria, find
from spa_kernel.views.heat.agreement import agreement
from spa_kernel.views.heat.rows import Heat, heat, removed
from spa_kernel.views.heat.sheet import MOST, Sheet, marked, pair, sheet
from spa_kernel.views.heat.svg import base, marks

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session

Scores = Mapping[str, np.ndarray]

GONE = "The analysed model is no longer there. Analyse one, and show its importance anew."
NONE = "(none)"
_STYLE = """<style>
.spa-heat-view .spa-heat-layers { margin: 6px 0; max-width: 100%;
  overflow-x: auto; overflow-y: hidden; }
.spa-heat-view .widget-html, .spa-heat-view .widget-html-content { margin: 0; height: auto;
  line-height: normal; overflow: visible; }
.spa-heat-view .spa-heat-marks, .spa-heat-view .spa-heat-marks * { pointer-events: none; }
.spa-heat-view .spa-heat-marks .hover path { pointer-events: all; }
</style>"""


class HeatView:
    """Rows of coloured channels with what to choose above them.

    Parameters
    ----------
    session : Session
        Kept by a weak reference: the view does not keep a model alive.
    criterion : str or callable
    scores : mapping, optional
        What ``session.importance(criterion, **settings)`` returned, if it is at hand.
    **settings
        Other arguments of `Session.importance`.
    """

    def __init__(
        self,
        session: Session,
        criterion: Any = "l1",
        *,
        scores: Scores | None = None,
        **settings: Any,
    ) -> None:
        # Data and a loss may lead to the model, so they go with the session.
        self._session = ref(session, lambda _: self._forget())
        if isinstance(settings.get("data"), Iterator):
            # It is gone through again after each change of the session.
            settings["data"] = list(settings["data"])
        self._settings = settings
        own = criterion if isinstance(criterion, str) else find(criterion).name
        self._criteria: dict[str, Any] = {own: criterion}
        self._criteria |= {
            name: name for name, entry in criteria().items()
            if entry.asks == "nothing" and name != own
        }  # fmt: skip
        self._scores: dict[str, Scores] = {} if scores is None else {own: scores}
        self._plan: Plan | None = None
        self._sheet: Sheet | None = None
        self._page = 0
        names = list(self._criteria)
        wide = {"layout": widgets.Layout(width="15em"), "style": {"description_width": "initial"}}
        self._first = widgets.Dropdown(options=names, value=own, description="Criterion", **wide)
        self._second = widgets.Dropdown(
            options=[NONE, *names], value=NONE, description="Compare with", **wide
        )
        self._order = _toggle([("by score", False), ("in place", True)], "Order of the channels")
        self._own = _toggle([("one scale", False), ("per group", True)], "Scale of the colours")
        self._message, self._notes, self._where = widgets.HTML(), widgets.HTML(), widgets.Label()
        self._base, self._marks = widgets.HTML(), widgets.HTML()
        self._pages = widgets.HBox()
        self._mounted = False

    @property
    def criterion(self) -> str:
        """Whose scores are shown."""
        return str(self._first.value)

    @property
    def scores(self) -> Scores:
        """The scores that are shown, worked out when they are first asked for.

        Raises
        ------
        SpaError
            They cannot be worked out, or the model is no longer there.
        """
        return self._scored(self.criterion)

    @cached_property
    def widget(self) -> widgets.Widget:
        """All of it, ready to be displayed."""
        self._marks.add_class("spa-heat-marks")
        for layer in (self._base, self._marks):
            layer.layout.grid_area = "1 / 1"
        layers = widgets.GridBox(
            [self._base, self._marks],
            layout=widgets.Layout(grid_template_columns="minmax(600px, 940px)"),
        )
        layers.add_class("spa-heat-layers")
        back = widgets.Button(icon="chevron-left", tooltip="Earlier groups")
        on = widgets.Button(icon="chevron-right", tooltip="Later groups")
        for button, step in ((back, -1), (on, 1)):
            button.layout.width = "3em"
            button.on_click(lambda _, step=step: self._turn(step))
        self._pages.children = back, self._where, on
        for control in (self._first, self._second, self._order, self._own):
            control.observe(lambda _: self._redraw(), "value")
        row = widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="0 1em")
        controls = widgets.Box([self._first, self._second, self._order, self._own], layout=row)
        box = widgets.VBox(
            [widgets.HTML(_STYLE), controls, self._message, layers, self._pages, self._notes]
        )
        box.add_class("spa-heat-view")
        self._mounted = True
        self._redraw()
        return box

    def refresh(self) -> None:
        """The session changed: scores are old, and so is the plan."""
        self._scores.clear()
        self._plan = None
        self._redraw()

    def show(self, plan: Plan | None) -> None:
        """Mark what a plan takes, or nothing."""
        # The words of what stays change with the first plan.
        whole = (plan is None) != (self._plan is None)
        self._plan = plan
        self._draw(partial(self._remark, whole=whole))

    def choose(self, criterion: str) -> None:
        """Show a criterion, if it is one of those to choose from."""
        if criterion in self._criteria:
            self._first.value = criterion

    def compare(self, criterion: str, scores: Scores) -> None:
        """Show a second criterion beside the first."""
        self._criteria.setdefault(criterion, criterion)
        self._scores[criterion] = scores
        self._second.options = [NONE, *self._criteria]
        self._second.value = criterion

    def _redraw(self) -> None:
        self._draw(self._all)

    def _draw(self, how: Callable[[Session], None]) -> None:
        """Draw if there is anything to draw on; an error of the engine is a sentence."""
        if not self._mounted:
            return
        session = self._session()
        try:
            if session is None:
                raise SpaError(GONE)
            how(session)
        except SpaError as error:
            self._sheet = None
            self._base.value = self._marks.value = self._notes.value = ""
            self._pages.layout.display = "none"
            self._say(str(error), "error")

    def _all(self, session: Session) -> None:
        """Draw both layers."""
        self._sheet = self._made(session)
        self._say("")
        names = [self.criterion, *([self._second.value] if self._second.value != NONE else [])]
        notes = [note for name in names for note in self._shown(session, name).notes]
        self._notes.value = "<br>".join(map(escape, dict.fromkeys(notes)))
        if self._sheet is None:
            self._base.value = self._marks.value = ""
            self._pages.layout.display = "none"
            return
        rows, total = len(self._sheet.panels[0].strips), self._sheet.total
        self._where.value = f"{self._sheet.first + 1}–{self._sheet.first + rows} of {total} groups"
        self._pages.layout.display = "" if total > MOST else "none"
        self._own.disabled = self._second.value != NONE
        found = self._sheet.agreement
        if found is not None and found.overall is not None:
            self._say(f"Rank agreement over all channels: {found.overall:.2f} (1: both criteria "
                      "rank alike, 0: one says nothing of the other)")  # fmt: skip
        self._base.value, self._marks.value = base(self._sheet), marks(self._sheet)

    def _remark(self, session: Session, whole: bool) -> None:
        """Draw what the plan takes, upon the colours that are there."""
        if self._sheet is None:
            self._all(session)
            return
        gone = None if self._plan is None else removed(session.groups, self._plan)
        self._sheet = marked(self._sheet, gone)
        if whole:
            self._base.value = base(self._sheet)
        self._marks.value = marks(self._sheet)

    def _made(self, session: Session) -> Sheet | None:
        shown = self._shown(session, self.criterion)
        in_place, other = bool(self._order.value), str(self._second.value)
        if other != NONE:
            second = self._shown(session, other)
            among = [{row.group: row.scores for row in each.rows} for each in (shown, second)]
            found = agreement(*among)
            if not (found.groups or found.undefined):
                raise SpaError(f"{shown.criterion} and {other} have scores of no group in common.")
            self._page = min(self._page, (len(found.groups) + len(found.undefined) - 1) // MOST)
            return pair(shown, second, found, in_place=in_place, page=self._page)
        if not shown.rows:
            return None
        self._page = min(self._page, (len(shown.rows) - 1) // MOST)
        return sheet(shown, in_place=in_place, own=bool(self._own.value), page=self._page)

    def _shown(self, session: Session, name: str) -> Heat:
        return heat(session, self._scored(name), self._plan, name)

    def _scored(self, name: str) -> Scores:
        if name not in self._scores:
            session = self._session()
            if session is None:
                raise SpaError(GONE)
            self._say(f"Scoring by {name} …")
            try:
                with progress.shown():
                    self._scores[name] = session.importance(self._criteria[name], **self._settings)
            finally:
                self._say("")
        return self._scores[name]

    def _turn(self, step: int) -> None:
        last = ((self._sheet.total if self._sheet else 1) - 1) // MOST
        self._page = min(max(self._page + step, 0), last)
        self._redraw()

    def _say(self, text: str, kind: str = "status") -> None:
        colour = "color: var(--jp-error-color1, #d32f2f)" if kind == "error" else ""
        self._message.value = text and (
            f'<div role="{"alert" if kind == "error" else "status"}" style="{colour}">'
            f"{escape(text)}</div>"
        )

    def _forget(self) -> None:
        self._settings.clear()
        self._criteria = dict.fromkeys(self._criteria)


def _toggle(options: list[tuple[str, bool]], what: str) -> widgets.ToggleButtons:
    return widgets.ToggleButtons(
        options=options, tooltips=[what] * len(options), style={"button_width": "7em"}
    )
