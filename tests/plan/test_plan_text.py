import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plan_networks import Maker, random_scores

from spa_kernel.errors import InfeasibleTarget, SpaError
from spa_kernel.plan import CostModel, Plan, make_plan


def network(sizes: tuple[int, ...] = (8, 6, 8)) -> Maker:
    make = Maker()
    for size in sizes:
        make.dense(make.axis(make.group(size)), 5)
    return make


def small_plan(make: Maker) -> Plan:
    coupling = make.coupling
    cost = CostModel(make.graph, coupling)
    return make_plan(
        make.graph,
        coupling,
        cost,
        random_scores(coupling, 0),
        ratio=0.5,
        settings={"criterion": "l1", "seed": np.int64(3)},
    )


def test_round_trip() -> None:
    plan = small_plan(network())
    again = Plan.from_json(plan.to_json())
    assert again == plan
    assert again.settings["criterion"] == "l1" and again.settings["seed"] == 3
    assert again.kept.keys() == plan.kept.keys()
    for name, axes in plan.kept.items():
        for axis, indices in axes.items():
            assert again.kept[name][axis].dtype == np.int64
            assert np.array_equal(again.kept[name][axis], indices)


def test_a_printed_plan_is_one_line() -> None:
    plan = small_plan(network())
    printed = str(plan)
    assert printed == repr(plan) and len(printed.splitlines()) == 1
    assert printed.startswith("Plan(11 channels of ")
    assert f"RF {plan.rf:.2f}: {plan.flops[0]:,} → " in printed
    assert f"RP {plan.rp:.2f}: {plan.params[0]:,} → " in printed


def test_a_plan_finds_its_groups_under_other_ids() -> None:
    """As when the same network was read by another front end, in another order."""
    make = network()
    plan = small_plan(make)
    mask = plan.mask(make.coupling)
    for group, name in zip(make.coupling.groups, ("g3", "g1", "g2"), strict=True):
        group.id = name
    assert np.array_equal(plan.mask(make.coupling), mask)


def test_a_plan_of_another_model_is_refused() -> None:
    plan = small_plan(network())
    for sizes in ((8, 6), (8, 5, 8), (4, 3, 4)):
        with pytest.raises(InfeasibleTarget, match="does not belong to this model"):
            plan.mask(network(sizes).coupling)
    other = network()
    for group in other.coupling.groups:
        group.members = [(f"another.{name}", axis) for name, axis in group.members]
    with pytest.raises(InfeasibleTarget, match="does not belong to this model"):
        plan.mask(other.coupling)


def test_a_plan_that_breaks_a_constraint_is_refused() -> None:
    make = network()
    plan = small_plan(make)
    group = make.coupling.groups[0]
    gone = plan.removed["g1"][:1]
    make.tie(group.labels[gone], np.ones(1, dtype=np.int64), "sizes must stay equal")
    with pytest.raises(InfeasibleTarget, match="sizes must stay equal"):
        plan.mask(make.coupling)


def broken(change: str) -> str:
    document = json.loads(small_plan(network()).to_json())
    name = next(iter(document["removed"]))
    kept = next(iter(document["kept"]))
    changes = {
        "version": {"version": 2},
        "format": {"format": "something"},
        "list": {"removed": []},
        "missing": {"widths": None},
        "unsorted": {"indices": [[3, 1]] * len(document["indices"])},
        "repeated": {"indices": [[1, 1]] * len(document["indices"])},
        "negative": {"indices": [[-1]] * len(document["indices"])},
        "huge": {"indices": [[10**30]] * len(document["indices"])},
        "bool": {"indices": [[True]] * len(document["indices"])},
        "float": {"flops": [2.0, 1.0]},
        "grows": {"params": [1, 2]},
        "no such table": {"removed": {name: 10**6}},
        "widths": {"widths": document["widths"] | {name: [100, 1]}},
        "axis": {"kept": {kept: {"-1": 0}}},
        "axis words": {"kept": {kept: {"first": 0}}},
        "members": {"members": {name: [["w"]]}},
        "flops of no float": {"flops": [10**400, 1]},
        "memory of no float": {"memory": [10**400, 1]},
        "no memory": {"memory": None},
        "latency of no float": {"latency": [10**400, 1]},
        "latency below zero": {"latency": [1.0, -1.0]},
        "target in words": {"settings": {"flops": "two"}},
        "ratios in words": {"settings": {"ratio": {"g1": "half"}}},
        "scope": {"settings": {"scope": ["g1"]}},
    }
    return json.dumps(document | changes[change])


@pytest.mark.parametrize(
    "change",
    [
        "version",
        "format",
        "list",
        "missing",
        "unsorted",
        "repeated",
        "negative",
        "huge",
        "bool",
        "float",
        "grows",
        "no such table",
        "widths",
        "axis",
        "axis words",
        "members",
        "flops of no float",
        "memory of no float",
        "no memory",
        "latency of no float",
        "latency below zero",
        "target in words",
        "ratios in words",
        "scope",
    ],
)
def test_damaged_text_is_refused(change: str) -> None:
    with pytest.raises(InfeasibleTarget):
        Plan.from_json(broken(change))


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.text(),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(
                    st.sampled_from(["format", "version", "indices", "kept", "removed", "0"]), inner
                )
            ),
        ).map(json.dumps),
    )
)
def test_any_text_is_a_plan_or_a_clear_error(text: str) -> None:
    with pytest.raises(SpaError):
        Plan.from_json(text)


def test_deep_text_is_a_clear_error() -> None:
    with pytest.raises(SpaError):
        Plan.from_json("[" * 200_000)
