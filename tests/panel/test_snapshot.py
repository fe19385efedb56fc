"""A snapshot says what the session says, in little space."""

import json

import numpy as np
import pytest
from all_structures import STRUCTURES, built
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import spa_kernel as spa
from spa_kernel.panel.protocol import validators
from spa_kernel.panel.snapshot import BINS, model_of, spark, sparks

MOST = 200_000
"""Bytes."""


def checked(session):
    """The content for a session, after it was checked against schema and session."""
    content = model_of(session)
    validators()["Model"].validate({"name": "net", "revision": 1, **content})
    groups, history = content["groups"], content["history"]
    assert {len(groups[key]) for key in groups.keys() - {"reasons"}} == {len(session.groups)}
    assert sum(groups["size"]) == sum(group.size for group in session.groups)
    assert sum(groups["members"]) == sum(len(group.members) for group in session.groups)
    reasons = [*groups["reasons"], ""]
    assert [reasons[why] for why in groups["why"]] == [group.reason for group in session.groups]
    columns = history.keys() - {"position", "undo", "redo"}
    assert {len(history[key]) for key in columns} == {len(session.history)}
    assert (content["flops"][1], content["params"][1]) == session.cost
    assert content["flops"][0] == history["flops"][0]
    assert history["undo"]["steps"] + history["redo"]["steps"] == len(session.history) - 1
    assert content == model_of(session)
    return content


@pytest.mark.parametrize("name", sorted(STRUCTURES)[::4])
def test_columns_agree_with_the_session(name):
    session = spa.analyze(*built(name))
    checked(session)
    if any(group.prunable for group in session.groups):
        session.prune(ratio=0.4, scope="local")
        checked(session)
        session.undo()
        assert checked(session)["history"]["redo"] == {"steps": 1, "reason": ""}


@given(arrays.arrays(np.float64, st.integers(1, 300), elements=st.floats(0, 1e6)))
def test_a_spark_rises_to_nine(scores):
    digits = spark(scores)
    assert len(digits) == min(BINS, len(scores))
    assert list(digits) == sorted(digits)
    if len(scores) <= BINS:
        assert digits[-1] == ("9" if scores.max() > 0 else "0")


def test_a_group_without_scores_has_no_spark():
    session = spa.analyze(*built(min(STRUCTURES)))
    drawn = sparks(session.groups, {session.groups[0].id: np.ones(3)})
    assert drawn == ["999", *[""] * (len(session.groups) - 1)]


def test_densenet_201_is_small():
    models = pytest.importorskip("torchvision.models")
    session = spa.analyze(models.densenet201(), (1, 3, 64, 64))
    session.prune(flops=1.5, verify=False)
    content = checked(session)
    content["groups"]["spark"] = ["0" * BINS] * len(session.groups)
    assert len(json.dumps(content)) < MOST
