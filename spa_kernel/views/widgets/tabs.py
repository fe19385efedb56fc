"""Views behind tabs: each is made when its tab is first opened, and drawn only while it is open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import ipywidgets as w

from spa_kernel.errors import SpaError
from spa_kernel.views.blocks import Line, Picture
from spa_kernel.views.compare import comparison_blocks
from spa_kernel.views.plan_view import width_blocks
from spa_kernel.views.widgets.drawn import drawn

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session.preview import Preview


class View(Protocol):
    """What a tab shows."""

    @property
    def widget(self) -> Any: ...

    def refresh(self) -> None:
        """Show the model as it is now."""

    def show(self, plan: Plan | None) -> None:
        """Mark what a plan would take away."""


class Tabs:
    """Views by title.

    A view that is drawn while it is hidden has no size, so that it is put into its tab only when
    that is opened; what happens meanwhile is made up for then.
    """

    def __init__(self, views: Mapping[str, Callable[[], View]]) -> None:
        self._makers = list(views.values())
        self._views: dict[int, View] = {}
        self._plan: Plan | None = None
        self._outdated: set[int] = set()
        self._unmarked: set[int] = set()
        self._places = [w.VBox() for _ in views]
        self.widget = w.Tab(self._places, titles=list(views), selected_index=0)
        self.widget.observe(lambda _: self._open(), "selected_index")

    def refresh(self) -> None:
        """The model has changed."""
        self._outdated |= set(self._views)
        self._open()

    def show(self, plan: Plan | None) -> None:
        """What a plan would take away has changed."""
        self._plan = plan
        self._unmarked |= set(self._views)
        self._open()

    def _open(self) -> None:
        index = self.widget.selected_index
        if index is None:
            return
        try:
            view = self._view(index)
        except SpaError as error:
            self._places[index].children = [drawn([Line(str(error), tone="bad")])]
            return
        self._outdated.discard(index)
        self._unmarked.discard(index)
        if view.widget not in self._places[index].children:
            self._places[index].children = [view.widget]

    def _view(self, index: int) -> View:
        """The view of a tab, up to date."""
        if index not in self._views:
            self._views[index] = self._makers[index]()
            self._unmarked.add(index)
        view = self._views[index]
        if index in self._outdated:
            view.refresh()
        if index in self._unmarked:
            view.show(self._plan)
        return view


class Widths:
    """Group by group, how many channels a plan would leave."""

    def __init__(self) -> None:
        self.widget = w.VBox()

    def refresh(self) -> None:
        """It is of the plan alone."""

    def show(self, plan: Plan | None) -> None:
        """Show the widths of a plan."""
        blocks = width_blocks(plan) if plan is not None else [Line("There is no plan.")]
        self.widget.children = [drawn(blocks)]


class Compared:
    """The model at the start of its history beside what it is now, or what a plan would leave."""

    def __init__(self, preview: Preview) -> None:
        self._preview = preview
        self.widget = w.VBox()

    def refresh(self) -> None:
        """The model has changed, and a plan for what it was says nothing any more."""
        if self._preview.session.history.position:
            self._draw(None)

    def show(self, plan: Plan | None) -> None:
        """Before anything was pruned, the plan is what there is to compare with."""
        if not self._preview.session.history.position:
            self._draw(plan)
        elif not self.widget.children:
            self._draw(None)

    def _draw(self, plan: Plan | None) -> None:
        blocks = comparison_blocks(self._preview.session, plan=plan)
        if plan is not None:
            # A figure for every step of a slider would be slow.
            blocks = [block for block in blocks if not isinstance(block, Picture)]
        self.widget.children = [drawn(blocks)]
