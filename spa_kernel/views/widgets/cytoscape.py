"""Boxes and arrows at given places in the browser; the only module that knows ipycytoscape."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot
from typing import Any

import ipywidgets as w

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import ipycytoscape as cy

Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Node:
    """A box: its middle, its size, its text, and the classes that the style speaks of."""

    id: str
    label: str
    at: Point
    size: Point
    classes: str = ""


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow, by way of some corners."""

    source: str
    target: str
    corners: tuple[Point, ...] = ()
    classes: str = ""


HEIGHTS = range(240, 721, 40)
"""That a graph can have, in pixels."""
Style = Sequence[Mapping[str, Any]]


class Canvas:
    """A place for one graph at a time.

    ipycytoscape loses track of elements that are taken away, and gets the size of a graph wrong
    that is given its height late. So every graph is a new widget, complete before it is shown,
    and its height is a matter of `heights`, which must be in the page by then.

    Parameters
    ----------
    style : sequence of dict
        As in cytoscape.js.
    clicked : callable
        Called with the id of a box.
    """

    def __init__(self, style: Style, clicked: Callable[[str], None]) -> None:
        self._style = [dict(rule) for rule in style]
        self._clicked = clicked
        self._graph: Any = None
        self._nodes: dict[str, Any] = {}
        self.widget = w.Box(layout=w.Layout(width="100%", overflow="hidden"))
        self.widget.add_class("spa-graph")

    def draw(self, nodes: Sequence[Node], edges: Sequence[Edge], height: int) -> None:
        """Show these instead of what was there, so many pixels high (rounded to `HEIGHTS`)."""
        height = min(HEIGHTS, key=lambda known: (known < height, abs(known - height)))
        middle = {node.id: node.at for node in nodes}
        graph = cy.CytoscapeWidget(
            cytoscape_layout={"name": "preset", "fit": True, "padding": 14},
            cytoscape_style=self._style,
            max_zoom=1.4,
            min_zoom=0.1,
            auto_ungrabify=True,
            layout=w.Layout(width="100%"),
        )
        # By a class: what the layout says comes after the picture has been fitted into 400 pixels.
        graph.add_class(f"spa-tall-{height}")
        self._nodes = {
            node.id: cy.Node(
                data={"id": node.id, "label": node.label, "w": node.size[0], "h": node.size[1]},
                position={"x": node.at[0], "y": node.at[1]},
                classes=node.classes,
            )
            for node in nodes
        }
        graph.graph.nodes = list(self._nodes.values())
        graph.graph.edges = [
            cy.Edge(
                data={
                    "id": f"{edge.source}→{edge.target}", "source": edge.source,
                    "target": edge.target,
                    **_segments(middle[edge.source], middle[edge.target], edge.corners),
                },
                classes=f"{edge.classes} bent" if edge.corners else edge.classes,
            )
            for edge in edges
        ]  # fmt: skip
        # A kind of event that comes after this would never be heard of.
        graph.on("node", "click", lambda event: self._clicked(event["data"]["id"]))
        before, self._graph = self._graph, graph
        self.widget.children = [graph]
        if before is not None:
            _close(before)

    def fit(self) -> None:
        """Show all of it: cytoscape.js does not do so by itself when a view becomes narrower."""
        self._graph.relayout()

    def mark(self, id: str, *, classes: str | None = None, label: str | None = None) -> None:
        """Change the looks of a box."""
        node = self._nodes[id]
        if classes is not None and node.classes != classes:
            node.classes = classes
        if label is not None and node.data["label"] != label:
            # Only a new dict is sent.
            node.data = {**node.data, "label": label}


def heights() -> str:
    """The CSS that graphs need."""
    return " ".join(f".spa-tall-{n}.custom-widget {{ height: {n}px !important; }}" for n in HEIGHTS)


def _segments(source: Point, target: Point, corners: Sequence[Point]) -> dict[str, str]:
    """Corners as cytoscape.js wants them: along the line between two boxes, and away from it."""
    if not corners:
        return {}
    dx, dy = target[0] - source[0], target[1] - source[1]
    length = hypot(dx, dy) or 1.0
    weights, distances = [], []
    for x, y in corners:
        along, away = x - source[0], y - source[1]
        weights.append((along * dx + away * dy) / length**2)
        distances.append((away * dx - along * dy) / length)
    return {
        "weights": " ".join(f"{x:.5f}" for x in weights),
        "distances": " ".join(f"{x:.3f}" for x in distances),
    }


def _close(graph: Any) -> None:
    """Forget a graph: ipywidgets keeps all widgets that are not closed."""
    for part in (*graph.graph.nodes, *graph.graph.edges, graph.graph, graph.layout, graph):
        part.close()
