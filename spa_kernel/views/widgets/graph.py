"""The coupling graph in the notebook: search it, click a box, open it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING

import ipywidgets as w

from spa_kernel.errors import SpaError
from spa_kernel.session.preview import Preview
from spa_kernel.views import html
from spa_kernel.views.blocks import Block, Cell, Column, Fold, Line, Table
from spa_kernel.views.heat.blocks import spread
from spa_kernel.views.overview.boxes import Box, Overview
from spa_kernel.views.overview.filled import Filled, filled
from spa_kernel.views.overview.inside import opened
from spa_kernel.views.overview.layout import lines
from spa_kernel.views.overview.network import overview
from spa_kernel.views.overview.told import box_blocks, table, words
from spa_kernel.views.widgets.cytoscape import Canvas, Edge, Node
from spa_kernel.views.widgets.graph_style import STYLE, key, level

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session

TALLEST = 640
"""Of the graph, in pixels."""
TYPICAL = 720
"""Its width, in pixels, as it is in most notebooks."""
SPREADS = 8
"""Groups of a box whose importance is shown."""
GONE = Line("The session of this view is gone; run the cell again.", tone="bad")


class GraphView:
    """A session's coupling graph as a widget.

    Parameters
    ----------
    session : Session
        The view does not keep it alive.

    Attributes
    ----------
    widget : ipywidgets.Widget
        To be displayed, or to be put into another widget. What is hidden has no size: put it into
        a tab when that is opened.
    """

    def __init__(self, session: Session) -> None:
        self._session, self._preview = weakref.ref(session), Preview(session)
        self._listeners: list[Callable[[str], None]] = []
        self._plan: Plan | None = None
        self._stack: list[Overview] = []
        self._selected = ""
        self._hits: set[str] = set()
        self._labels: dict[str, Filled] = {}
        self._choosing = False
        self._canvas = Canvas(STYLE, self._clicked)
        self._search = w.Text(
            placeholder="layer, tensor or group", description="Find", continuous_update=True,
            layout=w.Layout(width="270px"), style={"description_width": "initial"},
        )  # fmt: skip
        self._boxes = w.Dropdown(
            description="Box", layout=w.Layout(width="300px"),
            style={"description_width": "initial"},
        )  # fmt: skip
        self._open = w.Button(
            description="Open", icon="search-plus", layout=w.Layout(width="auto"),
            tooltip="show what is in this box: its layers, and why they move together",
        )  # fmt: skip
        self._back = w.Button(
            description="Back", icon="arrow-left", layout=w.Layout(width="auto"),
            tooltip="back to the picture that this box is part of",
        )  # fmt: skip
        self._where = w.HTML()
        self._where.add_class("spa-graph-where")
        self._fit = w.Button(
            description="Fit", icon="arrows-alt", layout=w.Layout(width="auto"),
            tooltip="show all of the picture",
        )  # fmt: skip
        self._details = w.HTML(layout=w.Layout(width="100%", margin="0"))
        self._twin = w.HTML()
        self._search.observe(lambda _: self._find(), "value")
        self._boxes.observe(lambda _: self._chosen(), "value")
        self._open.on_click(lambda _: self._enter())
        self._back.on_click(lambda _: self._leave())
        self._fit.on_click(lambda _: self._canvas.fit())
        self.widget = self._assembled()
        self.refresh()

    def _assembled(self) -> w.VBox:
        details = w.Box(
            [self._details], layout=w.Layout(flex="1 1 260px", min_width="0", overflow="auto")
        )
        details.add_class("spa-graph-details")
        graph = w.Box([self._canvas.widget], layout=w.Layout(flex="3 1 420px", min_width="0"))
        parts = w.Box([graph, details])
        parts.add_class("spa-graph-parts")
        bar = w.Box([self._back, self._where, self._search, self._boxes, self._open, self._fit])
        bar.add_class("spa-graph-bar")
        return w.VBox([w.HTML(key()), bar, parts, self._twin])

    def on_select(self, callback: Callable[[str], None]) -> None:
        """Have a function called with the id of a group (the first of a fold) that is selected."""
        self._listeners.append(callback)

    def refresh(self) -> None:
        """Show the model as it is now."""
        session = self._session()
        if session is None:
            self._gone()
            return
        self._plan = None
        self._stack = [overview(session)]
        self._draw()

    def show(self, plan: Plan | None) -> None:
        """Fill the boxes as far as a plan takes their channels away; ``None`` empties them."""
        self._plan = plan
        self._labels = filled(self._shown, plan)
        self._mark()

    @property
    def _shown(self) -> Overview:
        return self._stack[-1] if self._stack else Overview("", (), ())

    def _draw(self) -> None:
        """Show the picture on top of the stack."""
        session, shown = self._session(), self._shown
        if session is None:
            self._gone()
            return
        self._selected, self._hits = "", set()
        self._labels = filled(shown, self._plan)
        places = shown.places
        self._canvas.draw(
            [
                Node(box.id, self._label(box), (places[box.id].x, places[box.id].y),
                     (places[box.id].width, places[box.id].height), self._classes(box))
                for box in shown.boxes
            ],
            [
                Edge(arrow.source, arrow.target, shown.bends.get((arrow.source, arrow.target), ()),
                     "back" if arrow.back else "")
                for arrow in shown.arrows
            ],
            _height(shown),
        )  # fmt: skip
        inner = len(self._stack) > 1
        self._back.layout.display = "" if inner else "none"
        self._back.description = f"Back to {self._stack[-2].title}" if inner else "Back"
        self._where.value = f"<span>{escape(shown.title)}</span>" if inner else ""
        self._search.value = ""
        self._list(shown.boxes)
        self._tell()
        blocks: list[Block] = [Line(note) for note in shown.notes]
        if any(box.groups for box in shown.boxes):
            blocks.append(table(session, shown))
        self._twin.value = html.draw([Fold(f"The same as a table. {words(shown)}", blocks)])

    def _label(self, box: Box) -> str:
        detail = self._labels[box.id].label if box.id in self._labels else box.detail
        return "\n".join(lines(box.title, detail))

    def _classes(self, box: Box) -> str:
        share = self._labels[box.id].share if box.id in self._labels else 0.0
        found = {
            box.kind: True,
            level(share): True,
            "frozen": box.frozen and box.kind not in ("layer", "link"),
            "is-hit": box.id in self._hits,
            "is-selected": box.id == self._selected,
        }
        return " ".join(name for name, wanted in found.items() if name and wanted)

    def _mark(self) -> None:
        for box in self._shown.boxes:
            self._canvas.mark(box.id, classes=self._classes(box), label=self._label(box))

    def _find(self) -> None:
        """Mark and list the boxes that have a name with this text."""
        found = self._shown.find(self._search.value)
        self._hits = {box.id for box in found}
        self._list(found if self._search.value.strip() else self._shown.boxes)
        self._mark()

    def _list(self, boxes: tuple[Box, ...] | list[Box]) -> None:
        first = f"{len(boxes)} found" if self._search.value.strip() else "choose …"
        self._choosing = True
        self._boxes.options = [
            (first, ""), *((f"{_ids(box)}{box.title} · {box.detail}", box.id) for box in boxes)
        ]  # fmt: skip
        self._boxes.value = self._selected if self._selected in {b.id for b in boxes} else ""
        self._choosing = False

    def _chosen(self) -> None:
        if not self._choosing and self._boxes.value:
            self._select(self._boxes.value)

    def _clicked(self, id: str) -> None:
        """The first click selects, another one opens."""
        if id == self._selected:
            self._enter()
        else:
            self._select(id)

    def _select(self, id: str) -> None:
        self._selected = id
        self._mark()
        self._tell()
        self._choosing = True
        if id in dict(self._boxes.options).values():
            self._boxes.value = id
        self._choosing = False
        groups = self._shown.by_id[id].groups
        for callback in self._listeners if groups else ():
            callback(groups[0])

    def _enter(self) -> None:
        session, box = self._session(), self._shown.by_id.get(self._selected)
        if session is not None and box is not None and box.groups:
            self._stack.append(opened(session, box))
            self._draw()

    def _leave(self) -> None:
        if len(self._stack) > 1:
            self._stack.pop()
            self._draw()

    def _tell(self) -> None:
        """Say what the selected box is, or what there is to do."""
        session, box = self._session(), self._shown.by_id.get(self._selected)
        self._open.disabled = box is None or not box.groups
        blocks: list[Block]
        if session is None:
            blocks = [GONE]
        elif box is None:
            hint = Line("Click a box to read why its channels move together; click it again, or "
                        "press Open, to see its layers.", tone="muted")  # fmt: skip
            blocks = [*(Line(note) for note in self._shown.notes), hint]
        else:
            blocks = [*box_blocks(session, self._shown, box), *self._spreads(box)]
        self._details.value = html.draw(blocks)

    def _spreads(self, box: Box) -> list[Block]:
        """How important the channels of a box are, by their weights."""
        session = self._session()
        if session is None or box.frozen or not box.groups:
            return []
        try:
            scores = self._preview.scores(criterion="l1")
        except SpaError as error:
            return [Line(str(error), tone="muted")]
        rows = [
            [Cell(id), Cell(spread(scores[id]), code=True)]
            for id in box.groups[:SPREADS]
            if id in scores
        ]
        help = "how many channels have how large a score, from the lowest to the highest"
        return [Table([Column("Group"), Column("Importance by l1, low to high", help=help)], rows)]

    def _gone(self) -> None:
        self._details.value = html.draw([GONE])
        self._open.disabled = True


def _ids(box: Box) -> str:
    if not box.groups:
        return ""
    return f"{box.groups[0]} " if len(box.groups) == 1 else f"{len(box.groups)} × "


def _height(shown: Overview) -> int:
    """Enough for the picture at the width that graphs have in most notebooks."""
    xs = [place.x for place in shown.places.values()]
    ys = [place.y for place in shown.places.values()]
    wide, tall = max(xs, default=0) - min(xs, default=0) + 280, max(ys, default=0) + 90
    return round(min(tall * min(1.0, TYPICAL / wide), TALLEST))
