"""Which live view belongs to which result; loaded when the first one is shown."""

from __future__ import annotations

from typing import Any

from spa_kernel.session import Session
from spa_kernel.views import sides
from spa_kernel.views.live import live
from spa_kernel.views.widgets.explorer import Explorer
from spa_kernel.views.widgets.follow import follow
from spa_kernel.views.widgets.graph import GraphView
from spa_kernel.views.widgets.heat import HeatView
from spa_kernel.views.widgets.history import HistoryView
from spa_kernel.views.widgets.summary import Summary


@live.register
def _(session: Session) -> Any:
    """The totals, the coupling graph, and the tables for who wants them."""
    return Summary(session).widget


@live.register
def _(steps: sides.Steps) -> Any:
    view = HistoryView(steps.session)
    follow(steps.session, view)
    return view.widget


@live.register
def _(graph: sides.Graph) -> Any:
    view = GraphView(graph.session)
    follow(graph.session, view)
    return view.widget


@live.register
def _(importance: sides.Importance) -> Any:
    view = HeatView(
        importance.session, importance.criterion, scores=importance.scores, **importance.settings
    )
    if importance.other is not None:
        view.compare(*importance.other)
    view.show(importance.plan)
    follow(importance.session, view)
    return view.widget


@live.register
def _(explorer: sides.Explorer) -> Any:
    return Explorer(
        explorer.session, explorer.data, explorer.loss, explorer.criterion, explorer.expressions
    ).widget
