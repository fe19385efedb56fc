"""What a session shows of itself: totals, the coupling graph, and tables for who wants them."""

from __future__ import annotations

from weakref import ref

import ipywidgets as w

from spa_kernel.session import Session
from spa_kernel.views.blocks import Facts, Title
from spa_kernel.views.session_view import session_blocks
from spa_kernel.views.widgets.drawn import drawn
from spa_kernel.views.widgets.follow import follow
from spa_kernel.views.widgets.graph import GraphView
from spa_kernel.views.widgets.looks import framed


class Summary:
    """The default view of a session, which it holds weakly."""

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        self._graph = GraphView(session)
        self._head, self._tables = w.VBox(), w.Accordion(titles=["All of it as tables"])
        self.widget = framed([self._head, self._graph.widget, self._tables])
        self._draw()
        follow(session, self)

    def refresh(self) -> None:
        """Show the model as it is now."""
        self._graph.refresh()
        self._draw()

    def _draw(self) -> None:
        session = self._session()
        if session is None:
            return
        blocks = session_blocks(session)
        head = [block for block in blocks if isinstance(block, Title | Facts)]
        self._head.children = [drawn(head)]
        self._tables.children = [drawn([block for block in blocks if block not in head])]
        self._tables.titles = ["All of it as tables"]
