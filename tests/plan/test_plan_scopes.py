"""Scopes, ratios for single groups, limits, rounding, and groups that a criterion leaves out."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_networks import Maker, assert_sound, random_network, random_scores

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan import CostModel, Plan, make_plan
from spa_kernel.plan.cells import structures
from spa_kernel.plan.task import per_cost

SEEDS = st.integers(0, 10**6)
SPREADS = st.sampled_from(["global", "local", "isomorphic"])


def free_network(sizes: list[int]) -> Maker:
    """Layers one after the other, so that nothing but a ratio decides."""
    make = Maker()
    before = 3
    for size in sizes:
        group = make.group(size)
        make.dense(make.axis(group), before if isinstance(before, int) else make.axis(before))
        before = group
    return make


def plan_of(make: Maker, scores: Mapping[str, np.ndarray] | int = 0, **wishes: Any) -> Plan:
    if isinstance(scores, int):
        scores = random_scores(make.coupling, scores)
    cost = CostModel(make.graph, make.coupling)
    return make_plan(make.graph, make.coupling, cost, scores, **wishes)


def lost(plan: Plan) -> dict[str, int]:
    return {name: before - after for name, (before, after) in plan.widths.items()}


SIZES = st.lists(st.integers(2, 40), min_size=4, max_size=6)


@settings(max_examples=40, deadline=None)
@given(SIZES, SEEDS, st.floats(0, 0.9))
def test_each_scope_loses_its_share_lowest_scores_first(
    sizes: list[int], seed: int, ratio: float
) -> None:
    make = free_network(sizes)
    scores = random_scores(make.coupling, seed)
    cells = {"front": ["g1", "g3"], "back": "block[24]"}
    wishes: dict[str, Any] = {"ratio": ratio, "scope": cells, "max_ratio": 1.0}
    plan = plan_of(make, scores, **wishes)
    assert Plan.from_json(plan.to_json()) == plan
    gone = lost(plan)
    for names in (("g1", "g3"), ("g2", "g4")):
        total = sum(plan.widths[name][0] for name in names)
        # Every group keeps one channel.
        spared = sum(plan.widths[n][1] == 1 for n in names)
        share = int(ratio * total + 1e-9)
        assert share - spared <= sum(gone[n] for n in names) <= share
        if not spared:
            cut = [np.isin(np.arange(len(scores[n])), plan.removed.get(n, ())) for n in names]
            taken = np.concatenate([scores[n][c] for n, c in zip(names, cut, strict=True)])
            left = np.concatenate([scores[n][~c] for n, c in zip(names, cut, strict=True)])
            assert taken.max(initial=-1) <= left.min()
    assert not any(gone[f"g{i}"] for i in range(5, len(sizes) + 1))


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.05, 0.8), st.sampled_from([None, 2]))
def test_one_scope_is_global_and_one_for_each_group_is_local(
    seed: int, ratio: float, round_to: int | None
) -> None:
    make = random_network(seed)
    ids = [g.id for g in make.coupling.groups]
    every = {"all": ids}
    each = {name: name for name in ids}
    for scope, name in ((every, "global"), (each, "local")):
        for target in ({"ratio": ratio}, {"flops": 1.2}):
            found = []
            for spread in (scope, name):
                try:
                    plan = plan_of(make, seed, scope=spread, round_to=round_to, **target)
                    found.append(plan.widths)
                except InfeasibleTarget:
                    found.append({})
            assert found[0] == found[1]


def test_isomorphic_groups_compete_whatever_their_sizes() -> None:
    make = free_network([20, 10, 12, 16])
    groups = make.coupling.groups
    make.dense(5, make.axis(groups[0]))
    make.dense(5, make.axis(groups[3]))
    keys = structures(make.coupling)
    # The first group is read twice; the last one by the extra layer instead of by a next one.
    assert keys[1] == keys[2] == keys[3] != keys[0]
    scores = {g.id: np.arange(g.size) + 100.0 * i for i, g in enumerate(groups)}
    plan = plan_of(make, scores, ratio=0.5, scope="isomorphic")
    assert lost(plan) == {"g1": 10, "g2": 9, "g3": 10, "g4": 0}
    groups[1].blocks = 2
    assert structures(make.coupling)[1] != structures(make.coupling)[2]


@settings(max_examples=60, deadline=None)
@given(
    SEEDS,
    SPREADS,
    st.sampled_from([{"ratio": 0.6}, {"flops": 1.4}, {"params": 1.4}, {"memory": 1.2}]),
    st.integers(1, 6),
    st.floats(0.1, 1),
    st.sampled_from([None, "nearest", "up", "down"]),
)
def test_limits_are_respected(
    seed: int,
    scope: Any,
    target: dict[str, float],
    min_width: int,
    most: float,
    rounding: Any,
) -> None:
    make = random_network(seed)
    ratios = {"*": max(most, 0.6), "g1": most}
    wishes: dict[str, Any] = {"max_ratio": ratios, "min_width": min_width, "scope": scope}
    wishes |= {"rounding": rounding, "round_to": rounding and 2}
    try:
        plan = plan_of(make, seed, **target, **wishes)
    except InfeasibleTarget as error:
        assert "cannot be reached" in str(error) or "nothing can be pruned" in str(error)
        return
    assert_sound(make.coupling, plan.mask(make.coupling))
    for name, (before, after) in plan.widths.items():
        assert before - after <= ratios.get(name, ratios["*"]) * before + 1e-9
        assert after == before or after >= min_width
        assert after == before or rounding is None or after % 2 == 0
    (name,) = target
    if name != "ratio" and rounding not in ("up", "nearest"):
        base, after = getattr(plan, name)
        assert base >= target[name] * after


def test_ratios_for_single_groups() -> None:
    make = free_network([10, 20, 30, 40])
    plan = plan_of(make, ratio={"g1": 0.3, "block2*": 0.5, "*": 0.1})
    assert lost(plan) == {"g1": 3, "g2": 10, "g3": 3, "g4": 4}
    assert plan.settings["ratio"] == {"g1": 0.3, "block2*": 0.5, "*": 0.1}
    plan = plan_of(make, ratio={make.coupling.groups[2]: 0.5, "g4": 0.0})
    assert lost(plan) == {"g1": 0, "g2": 0, "g3": 15, "g4": 0}
    assert not plan_of(make, ratio={"g4": 0}).removed


def test_groups_tied_to_a_named_one_go_with_it() -> None:
    make = free_network([16, 8, 8])
    groups = make.coupling.groups
    make.quota(groups[0], groups[1], 2)
    assert lost(plan_of(make, ratio={"g2": 0.5})) == {"g1": 8, "g2": 4, "g3": 0}
    assert lost(plan_of(make, ratio=0.5, scope={"one": "g2"})) == {"g1": 8, "g2": 4, "g3": 0}


@pytest.mark.parametrize(
    ("rounding", "widths"), [("nearest", [96, 48, 6]), ("up", [96, 48, 6]), ("down", [88, 40, 6])]
)
def test_rounding_of_ratios(rounding: Any, widths: list[int]) -> None:
    make = free_network([103, 50, 6])
    plan = plan_of(make, ratio=0.08, scope="local", round_to=8, rounding=rounding)
    assert [after for _, after in plan.widths.values()] == widths


@pytest.mark.parametrize("seed", range(12))
def test_rounding_of_budgets(seed: int) -> None:
    make = free_network([48, 64, 40, 80])
    target = 1.5 + seed / 10
    costs = {}
    for rounding in ("up", "down", "nearest"):
        plan = plan_of(make, seed, flops=target, round_to=8, rounding=rounding)
        assert all(after % 8 == 0 for _, after in plan.widths.values())
        costs[rounding] = plan.flops[1]
    budget = plan.flops[0] / target
    assert costs["down"] <= budget < costs["up"]
    nearer = min((costs["up"], costs["down"]), key=lambda cost: abs(cost - budget))
    assert costs["nearest"] == nearer
    assert plan_of(make, seed, flops=target, round_to=8).flops[1] == costs["down"]


def test_groups_without_scores_stay_whole() -> None:
    make = free_network([10, 20, 30])
    scores = random_scores(make.coupling, 0)
    del scores["g2"]
    words = r"criterion bn_scale says nothing of"
    noted = {"criterion": "bn_scale"}
    plan = plan_of(make, scores, ratio=0.5, settings=noted)
    assert "g2" not in plan.removed and sum(lost(plan).values()) == 20
    with pytest.raises(InfeasibleTarget, match=rf"{words} g2 \(block2.conv\)"):
        plan_of(make, scores, flops=1e6, settings=noted)
    with pytest.raises(InfeasibleTarget, match=rf"g2 \(block2.conv\) stays whole: {words} it"):
        plan_of(make, scores, ratio=0.5, groups="g2", settings=noted)
    make.quota(make.coupling.groups[2], make.coupling.groups[1], 1)
    with pytest.raises(InfeasibleTarget, match=rf"ties it to g2 .*, which {words[:18]}"):
        plan_of(make, scores, ratio=0.5, groups="g3", settings=noted)


@settings(max_examples=40, deadline=None)
@given(SEEDS, SPREADS, st.sampled_from([{"ratio": 0.5}, {"flops": 1.3}, {"memory": 1.1}]))
def test_only_the_order_of_scores_matters_also_below_zero(
    seed: int, scope: Any, target: dict[str, float]
) -> None:
    make = random_network(seed)
    scores = {name: np.round(s * 8) for name, s in random_scores(make.coupling, seed).items()}
    below = {name: s - 64 for name, s in scores.items()}
    try:
        plan = plan_of(make, scores, scope=scope, **target)
    except InfeasibleTarget:
        return
    assert plan_of(make, below, scope=scope, **target) == plan


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"ratio": {"g9": 0.5}}, "nothing has the name 'g9'"),
        ({"ratio": {}}, "names no group"),
        ({"ratio": {"g1": 1.0}}, "from 0 up to 1"),
        ({"ratio": {"g1": "half"}}, "not a number"),
        ({"ratio": {"g1": 0.3, "block1*": 0.4}}, r"g1 .* is 0.3 by 'g1' and 0.4 by 'block1\*'"),
        ({"ratio": {"g1": 0.95}}, r"g1 .* more than max_ratio=0.9"),
        ({"ratio": {"g1": 0.3}, "scope": "isomorphic"}, "nothing to compare"),
        ({"ratio": 0.5, "max_ratio": {"g1": 2}}, "max_ratio=2"),
        ({"ratio": 0.5, "max_ratio": {"g9": 0.2}}, "nothing has the name"),
        ({"ratio": 0.5, "scope": {}}, "names no scope"),
        ({"ratio": 0.5, "scope": {"a": ["g1", "g2"], "b": "g2"}}, "g2 .* in 'a' and in 'b'"),
        ({"ratio": 0.5, "scope": {"a": "g9"}}, "scope 'a': nothing has the name 'g9'"),
        ({"ratio": 0.5, "rounding": "up"}, "without round_to"),
        ({"ratio": 0.5, "rounding": "off", "round_to": 8}, "rounding='off'"),
        ({"ratio": 0.5, "min_width": 0}, "min_width=0"),
        ({"latency": 2.0}, "table of times"),
        ({"flops": 90, "min_width": 5}, "min_width=5"),
    ],
)
def test_what_cannot_be_meant_is_refused(wishes: dict[str, Any], words: str) -> None:
    with pytest.raises(InfeasibleTarget, match=words):
        plan_of(free_network([10, 20, 30]), **wishes)


def test_a_table_is_a_budget_like_any_other() -> None:
    make = free_network([10, 20, 30])
    table = CostModel(make.graph, make.coupling).measure("params")
    plan = plan_of(make, latency=2.0, table=table)
    assert plan.widths == plan_of(make, params=2.0).widths
    assert plan.settings["latency"] == 2.0


@settings(max_examples=25, deadline=None)
@given(SIZES, SEEDS, st.floats(1.1, 3))
def test_channels_are_ranked_by_score_per_cost(sizes: list[int], seed: int, flops: float) -> None:
    make = free_network(sizes)
    scores = random_scores(make.coupling, seed)
    measure = CostModel(make.graph, make.coupling).measure("flops")
    cost = measure.slope(np.zeros(make.coupling.count, dtype=bool))
    rated = {g.id: scores[g.id] / cost[g.labels] for g in make.coupling.groups}
    wishes: dict[str, Any] = {"flops": flops, "max_ratio": 1.0}
    try:
        wanted = plan_of(make, rated, **wishes)
    except InfeasibleTarget:
        return
    got = plan_of(make, scores, cost_weight=1, **wishes)
    assert got.flops == wanted.flops
    assert {k: v.tolist() for k, v in got.removed.items()} == {
        k: v.tolist() for k, v in wanted.removed.items()
    }


def test_what_is_better_gone_goes_first_where_it_costs_most() -> None:
    scores, cost = np.array([-1.0, -1.0, 1.0, 1.0]), np.array([1.0, 4.0, 1.0, 4.0])
    assert np.argsort(per_cost(scores, cost, 1.0)).tolist() == [1, 0, 3, 2]


@pytest.mark.parametrize(
    ("wishes", "says"),
    [({"flops": 2.0, "cost_weight": -1}, "use 0 up to 10"),
     ({"flops": 2.0, "scope": {"early": []}}, "'early' names no group"),
     ({"flops": 2.0, "cost_weight": 300}, "use 0 up to 10"),
     ({"ratio": 0.5, "cost_weight": 1}, "says nothing with ratio")],
)  # fmt: skip
def test_wishes_that_cannot_be_meant(wishes: dict[str, Any], says: str) -> None:
    with pytest.raises(InfeasibleTarget, match=says):
        plan_of(free_network([8, 8]), **wishes)
