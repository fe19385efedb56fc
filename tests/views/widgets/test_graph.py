"""The live coupling graph, without a browser."""

import gc
import weakref

import pytest
from torch import nn

import spa_kernel as spa
from spa_kernel.views.widgets.graph import GraphView

EVIL = "<img src=x onerror=alert(1)>"


def network():
    layers = [nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 6, 3)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(24, 5)).eval()


@pytest.fixture
def session():
    return spa.analyze(network(), (1, 3, 6, 6), name="net")


def graph(view):
    (found,) = view._canvas.widget.children
    return {n.data["id"]: n for n in found.graph.nodes}


def details(view):
    return view._details.value


def test_a_click_explains_and_another_one_opens(session):
    view, chosen = GraphView(session), []
    view.on_select(chosen.append)
    view._clicked("g1")
    assert chosen == ["g1"]
    assert "is-selected" in graph(view)["g1"].classes
    assert "input channels with the same index" in details(view)
    view._clicked("g1")
    assert {n.classes.split()[0] for n in graph(view).values()} <= {"layer", "link"}
    assert view._back.layout.display == ""
    view._back.click()
    assert "g1" in graph(view)
    assert view._back.layout.display == "none"


def test_what_has_no_inside_is_not_opened(session):
    view = GraphView(session)
    outer = list(graph(view))
    entrance = next(name for name in outer if name.startswith("input"))
    view._clicked(entrance)
    view._clicked(entrance)
    assert list(graph(view)) == outer
    assert view._open.disabled


def test_a_plan_fills_boxes_in_place(session):
    view = GraphView(session)
    nodes = graph(view)
    view.show(session.plan("l1", ratio=0.5, scope="local"))
    assert graph(view) == nodes
    assert "8 → 4" in nodes["g1"].data["label"]
    assert "gone-10" in nodes["g1"].classes
    view.show(None)
    assert "gone" not in nodes["g1"].classes
    assert "8 channels" in nodes["g1"].data["label"]


def test_search_marks_and_lists(session):
    view = GraphView(session)
    view._search.value = "1.running_mean"
    hits = [name for name, node in graph(view).items() if "is-hit" in node.classes]
    assert hits == ["g1"]
    assert [value for _, value in view._boxes.options] == ["", "g1"]
    view._boxes.value = "g1"
    assert "group g1" in details(view)
    view._search.value = ""
    assert len(view._boxes.options) == len(graph(view)) + 1


def test_refresh_shows_the_pruned_model(session):
    view = GraphView(session)
    session.prune(criterion="l1", ratio=0.5, scope="local")
    view.refresh()
    assert "4 channels" in graph(view)["g1"].data["label"]
    assert "<td" in view._twin.value


def test_the_view_does_not_keep_the_session(session):
    session = spa.analyze(network(), (1, 3, 6, 6))
    view, model = GraphView(session), weakref.ref(session.model)
    del session
    gc.collect()
    assert model() is None
    view.refresh()
    view._clicked("g1")
    view.show(None)
    assert "is gone" in details(view)


def test_names_are_escaped():
    session = spa.analyze(network(), (1, 3, 6, 6), name=EVIL)
    view = GraphView(session)
    view._clicked("g1")
    view._enter()
    assert all(EVIL not in part.value for part in (view._where, view._details, view._twin))
