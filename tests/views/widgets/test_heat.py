"""The live heatmap without a browser: what is sent when, and what is kept."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.views.widgets.heat import NONE, HeatView


def made():
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3), nn.ReLU(), nn.Conv2d(12, 4, 1)
    )
    return spa.analyze(net, (1, 3, 8, 8))


@pytest.fixture
def session():
    return made()


def test_nothing_is_scored_before_it_is_shown(session, monkeypatch):
    asked = []
    monkeypatch.setattr(
        type(session), "importance",
        lambda self, criterion, *given, **settings: asked.append((criterion, settings)) or
        {g.id: np.arange(g.size, dtype=float) for g in self.groups},
    )  # fmt: skip
    view = HeatView(session, "l2", agg="sum")
    view.show(session.plan(ratio=0.3))
    asked.clear()
    assert view.widget is view.widget
    assert asked == [("l2", {"agg": "sum"})]
    assert 'class="cut"' in view._marks.value
    view._order.value = True
    view._own.value = True
    assert view.scores["g1"].tolist() == list(range(8))
    assert len(asked) == 1


def test_scores_at_hand_are_used(session):
    scores = {"g1": np.arange(8.0)}
    assert HeatView(session, "l1", scores=scores).scores is scores


def test_a_plan_moves_only_the_marks(session):
    view = HeatView(session)
    assert view.widget is not None
    plain = view._base.value
    view.show(session.plan(ratio=0.25))
    colours, first = view._base.value, view._marks.value
    view.show(session.plan(ratio=0.5))
    assert view._base.value == colours
    assert view._marks.value != first
    view.show(None)
    assert view._base.value == plain
    assert "cut" not in view._marks.value.split("</style>")[1]


def test_a_change_of_the_session(session):
    view = HeatView(session)
    assert view.widget is not None
    plan = session.plan(ratio=0.5)
    view.show(plan)
    session.prune(plan)
    view.refresh()
    assert [len(s) for s in view.scores.values()] == [g.size for g in session.groups]
    assert "cut" not in view._marks.value.split("</style>")[1]
    # A plan of another state is a sentence, and the next one is shown again.
    view.show(plan)
    assert "new plan" in view._message.value
    assert view._base.value == ""
    view.show(session.plan(ratio=0.5))
    assert view._message.value == ""
    assert 'class="cut"' in view._marks.value


def test_an_error_of_the_engine_is_a_sentence(session):
    view = HeatView(session, "taylor")
    assert view.widget is not None
    assert 'role="alert"' in view._message.value
    assert "needs data" in view._message.value
    with pytest.raises(spa.DataNeeded):
        _ = view.scores
    view._first.value = "l1"
    assert "alert" not in view._message.value
    assert "<image" in view._base.value


def test_two_criteria(session):
    view = HeatView(session)
    assert view.widget is not None
    view._second.value = "random"
    assert "Rank agreement over all channels" in view._message.value
    view.show(session.plan(ratio=0.3))
    assert view._base.value.count("<image") == 1 + 2 * 2
    view._second.value = NONE
    assert view._message.value == ""


def test_the_criteria_are_those_that_need_no_data(session):
    offered = HeatView(session, "taylor")._first.options
    assert {"taylor", "l1", "l2", "random"} <= set(offered)
    assert not {"snip", "wanda", "obspa"} & set(offered)


def test_a_criterion_of_ones_own(session):
    def cubed(context, name, array):
        """Third power."""
        return abs(array) ** 3

    view = HeatView(session, cubed)
    assert view.widget is not None
    assert view.criterion in view._base.value


def test_it_does_not_keep_the_model():
    session = made()
    view = HeatView(session, loss=session.model)
    assert view.widget is not None
    gone = weakref.ref(session), weakref.ref(session.model)
    del session
    gc.collect()
    assert [each() for each in gone] == [None, None]
    view.refresh()
    assert "no longer there" in view._message.value


def test_many_groups_are_paged():
    layers = [layer for _ in range(65) for layer in (nn.Linear(4, 4), nn.ReLU())]
    session = spa.analyze(nn.Sequential(*layers), (1, 4))
    view = HeatView(session)
    assert view.widget is not None
    assert view._where.value == "1–60 of 64 groups"
    back, _, on = view._pages.children
    on.click()
    on.click()
    assert view._where.value == "61–64 of 64 groups"
    assert view._base.value.count("<image") == 1 + 4
    back.click()
    assert view._where.value == "1–60 of 64 groups"
