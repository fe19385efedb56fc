"""Dry runs one after the other."""

import gc

import numpy as np
import pytest
import torch
from torch import nn

import spa_kernel as spa
from spa_kernel.session.preview import Preview


@pytest.fixture
def session():
    torch.manual_seed(0)
    return spa.analyze(
        nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Linear(8, 2)), (1, 6)
    )


@pytest.fixture
def scored(session, monkeypatch):
    """How often scores were worked out."""
    found, score = [], type(session).importance

    def importance(self, *args, **settings):
        found.append(settings)
        return score(self, *args, **settings)

    monkeypatch.setattr(type(session), "importance", importance)
    return found


@pytest.mark.parametrize("wishes", [{"ratio": 0.5}, {"flops": 1.5}, {"params": 1.3, "seed": 3}])
@pytest.mark.parametrize("criterion", ["l1", "l2", "random"])
def test_a_dry_run_is_the_plan_itself(session, wishes, criterion):
    preview = Preview(session)
    preview.plan(criterion=criterion, **wishes)
    one, other = preview.plan(criterion=criterion, **wishes), session.plan(criterion, **wishes)
    assert one.to_json() == other.to_json()


def test_scores_are_kept_until_something_changes(session, scored):
    preview = Preview(session)
    for ratio in (0.2, 0.4, 0.6):
        preview.plan(ratio=ratio)
    assert len(scored) == 1
    preview.plan(criterion="l2", ratio=0.2)
    assert len(scored) == 2
    with torch.no_grad():
        session.model[0].weight[0] = 9.0
    before = preview.scores(criterion="l1")["g1"].argmax()
    assert len(scored) == 3
    assert before == 0
    session.prune(ratio=0.5)
    scored.clear()
    preview.plan(ratio=0.2)
    assert len(scored) == 1
    session.undo()
    found = preview.scores(criterion="l1")
    assert len(scored) == 2
    assert all(np.array_equal(found[g], s) for g, s in session.importance("l1").items())


def test_it_does_not_keep_the_model_alive(session):
    preview = Preview(session)
    lone = spa.analyze(nn.Sequential(nn.Linear(6, 16), nn.Linear(16, 2)), (1, 6))
    other = Preview(lone)
    other.plan(ratio=0.5)
    del lone
    gc.collect()
    with pytest.raises(spa.SpaError, match="gone"):
        other.plan(ratio=0.5)
    assert preview.session is session
