"""What a heatmap shows: orders, cut lines, and what is left out."""

from types import SimpleNamespace

import numpy as np
import pytest
from heat_networks import made
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.views.heat import heat
from spa_kernel.views.heat.rows import Row, earlier, row


@given(st.lists(st.integers(-3, 3), max_size=40))
def test_earlier_counts_equal_entries(values):
    found = earlier(np.array(values, dtype=np.int64))
    assert found.tolist() == [values[:i].count(v) for i, v in enumerate(values)]


@given(
    st.integers(1, 4), st.integers(1, 8), st.booleans(), st.integers(0, 2**32), st.integers(0, 8)
)
def test_what_goes_first_comes_first(blocks, each, ties, seed, lost):
    random = np.random.default_rng(seed)
    size = blocks * each
    source = np.repeat([np.arange(each)], blocks, 0).ravel()
    scores = random.integers(0, 3, size).astype(float) if ties else random.random(size)
    group = SimpleNamespace(id="g1", name="a", size=size, blocks=blocks, labels=np.arange(size))
    coupling = SimpleNamespace(source=source)
    found = row(coupling, group, scores, None)
    assert sorted(found.order) == list(range(size))
    ranks = scores[found.order].reshape(each, blocks)
    block = (found.order // each).reshape(each, blocks)
    # One channel of every block at each rank, and in every block the lowest first.
    assert all(sorted(rank) == list(range(blocks)) for rank in block.tolist())
    for b in range(blocks):
        assert (np.diff(ranks[block == b]) >= 0).all()
    gone = np.zeros(size, dtype=bool)
    lost = min(lost, each)
    gone[found.order[: lost * blocks]] = True
    cut = row(coupling, group, scores, gone)
    assert cut.going == cut.cut == lost * blocks


def test_the_cut_is_none_where_other_channels_go():
    scores = np.array([3.0, 1.0, 1.0, 2.0])

    def cut(*gone):
        mask = np.isin(np.arange(4), gone)
        return Row("g1", "a", 4, 1, scores, np.argsort(scores, kind="stable"), mask).cut

    assert cut() == 0
    # It makes no difference which of two equal ones goes.
    assert cut(1) == cut(2) == 1
    assert cut(1, 2) == 2
    assert cut(0) is None
    assert cut(1, 3) is None


def test_rows_of_a_plan():
    session = made()
    scores = session.importance("l1")
    plan = session.plan("l1", ratio=0.4)
    shown = heat(session, scores, plan, "l1")
    assert [r.group for r in shown.rows] == [g.id for g in session.groups if g.prunable]
    assert {r.blocks for r in shown.rows} == {1, 2}
    for r in shown.rows:
        before, after = plan.widths[r.group]
        assert (r.size, r.size - r.going) == (before, after)
        assert r.cut == r.going
    (note,) = shown.notes
    assert "cannot lose channels" in note
    without = heat(session, {"g1": scores["g1"]}, criterion="c")
    assert [r.group for r in without.rows] == ["g1"]
    assert not without.planned
    assert "without scores of c" in without.notes[0]


def test_what_belongs_to_another_state_is_refused():
    session = made()
    scores, plan = session.importance("l1"), session.plan("l1", ratio=0.4)
    session.prune(plan)
    with pytest.raises(InfeasibleTarget, match="new plan"):
        heat(session, session.importance("l1"), plan)
    with pytest.raises(InfeasibleTarget, match="Score it anew"):
        heat(session, scores)
