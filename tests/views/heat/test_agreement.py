"""Rank agreement of two criteria."""

import numpy as np
import pytest
from heat_networks import made
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.views import text
from spa_kernel.views.heat import agreement, agreement_blocks


@given(st.lists(st.integers(-99, 99), min_size=3, max_size=30, unique=True))
def test_only_ranks_count(values):
    scores = {"g1": np.array(values, dtype=float)}
    same = agreement(scores, {"g1": scores["g1"] * 3 + 1})
    opposed = agreement(scores, {"g1": -scores["g1"]})
    assert same.groups["g1"] == pytest.approx(1)
    assert opposed.groups["g1"] == pytest.approx(-1)
    assert same.overall == pytest.approx(1)


def test_the_least_agreement_comes_first():
    one, two, three = np.arange(4.0), np.array([0.0, 2.0, 1.0, 3.0]), np.ones(4)
    found = agreement(
        {"a": one, "b": one, "c": one, "d": one, "e": one[:1], "only": one},
        {"a": one, "b": -one, "c": two, "d": three, "e": one[:1]},
    )
    assert list(found.groups) == ["b", "c", "a"]
    assert found.undefined == ["d", "e"]
    assert agreement({}, {}).overall is None


def test_blocks_of_two_criteria():
    session = made()
    scores = {name: session.importance(name) for name in ("l1", "random")}
    shown = text.draw(agreement_blocks(session, scores))
    assert shown.startswith("l1 and random on net<b> · rank agreement")
    groups = [line.split()[0] for line in shown.splitlines() if line.startswith("g")]
    assert sorted(groups) == sorted(g.id for g in session.groups if g.prunable)
