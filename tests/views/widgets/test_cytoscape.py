"""The adapter for ipycytoscape: plain data in, a complete widget out."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.views.widgets.cytoscape import Canvas, Edge, Node, _segments

STYLE = [{"selector": "node", "style": {"label": "data(label)"}}]
numbers = st.floats(-1e3, 1e3)
points = st.tuples(numbers, numbers)


def nodes(*names):
    return [
        Node(name, name.upper(), (10.0 * i, 50.0 * i), (9, 9), "c") for i, name in enumerate(names)
    ]


def drawn(canvas):
    (graph,) = canvas.widget.children
    return graph


def test_a_graph_is_complete_before_it_is_shown():
    clicks = []
    canvas = Canvas(STYLE, clicks.append)
    canvas.draw(nodes("a", "b"), [Edge("a", "b", ((1.0, 2.0),), "back"), Edge("b", "a")], 300)
    graph = drawn(canvas)
    assert "spa-tall-320" in graph._dom_classes
    assert [n.data["id"] for n in graph.graph.nodes] == ["a", "b"]
    assert [n.position for n in graph.graph.nodes] == [{"x": 0, "y": 0}, {"x": 10, "y": 50}]
    assert [e.classes for e in graph.graph.edges] == ["back bent", ""]
    assert graph.cytoscape_layout["name"] == "preset"
    graph._handle_interaction(
        graph, {"event": "click", "widget": "node", "data": {"data": {"id": "b"}}}, []
    )
    assert clicks == ["b"]


def test_a_new_graph_is_a_new_widget_and_the_old_one_is_forgotten():
    canvas = Canvas(STYLE, lambda name: None)
    canvas.draw(nodes("a", "b"), [Edge("a", "b")], 300)
    first = drawn(canvas)
    parts = [first, first.graph, *first.graph.nodes, *first.graph.edges]
    canvas.draw(nodes("a", "c"), [], 200)
    assert drawn(canvas) is not first
    assert all(part.comm is None for part in parts)


def test_marks_replace_what_is_sent_as_a_whole():
    canvas = Canvas(STYLE, lambda name: None)
    canvas.draw(nodes("a"), [], 300)
    node = drawn(canvas).graph.nodes[0]
    data = node.data
    canvas.mark("a", classes="x y", label="new")
    assert node.classes == "x y"
    assert node.data is not data and node.data == {**data, "label": "new"}


@given(points, points, st.lists(points, min_size=1, max_size=4))
def test_corners_come_back_from_weights_and_distances(source, target, corners):
    if np.hypot(target[0] - source[0], target[1] - source[1]) < 1:
        return
    found = _segments(source, target, corners)
    along = np.array(target) - source
    across = np.array([-along[1], along[0]]) / np.hypot(*along)
    for corner, weight, distance in zip(
        corners, found["weights"].split(), found["distances"].split(), strict=True
    ):
        back = np.array(source) + float(weight) * along + float(distance) * across
        np.testing.assert_allclose(back, corner, atol=0.05)
