import numpy as np
import pytest
from importance_networks import synthetic

from spa_kernel.coupling.result import Group
from spa_kernel.errors import DataNeeded, InfeasibleTarget
from spa_kernel.importance import Context, criteria, criterion, find, group_scores
from spa_kernel.importance.registry import _CRITERIA, Criterion


def test_random_depends_on_the_seed_alone() -> None:
    (coupling, weights), (_, others) = synthetic(0), synthetic(1)
    first = group_scores(coupling, weights.__getitem__, "random", seed=3)
    again = group_scores(coupling, others.__getitem__, "random", seed=3)
    different = group_scores(coupling, weights.__getitem__, "random", seed=4)
    coupling.groups = coupling.groups[1:]
    alone = group_scores(coupling, weights.__getitem__, "random", seed=3)
    assert np.array_equal(first["g1"], again["g1"])
    assert not np.array_equal(first["g1"], different["g1"])
    assert np.array_equal(first["g2"], alone["g2"])


def test_registry() -> None:
    known = criteria()
    assert {"l1", "l2", "random"} <= set(known)
    assert known["l1"].summary == "Absolute value of each weight."
    assert find(known["l1"]) is known["l1"]
    with pytest.raises(InfeasibleTarget, match="did you mean 'random'"):
        find("randon")
    with pytest.raises(InfeasibleTarget, match="there is no criterion"):
        find(["l1"])


def test_a_new_criterion_is_one_function() -> None:
    coupling, weights = synthetic()
    try:

        @criterion("cubed", needs=("gradient",))
        def cubed(context: Context, name: str, array: np.ndarray) -> np.ndarray:
            """Third power."""
            return np.abs(array * context.given["gradient"][name]) ** 3

        assert criteria()["cubed"] == Criterion("cubed", cubed, "Third power.", ("gradient",))
        with pytest.raises(DataNeeded, match="gradient"):
            group_scores(coupling, weights.__getitem__, "cubed")
        given = {"gradient": weights}
        assert group_scores(coupling, weights.__getitem__, "cubed", given=given)["g1"].shape == (4,)
    finally:
        _CRITERIA.pop("cubed", None)


def test_a_channel_criterion_from_slices_may_say_nothing() -> None:
    coupling, weights = synthetic()

    def spread(context: Context, group: Group) -> np.ndarray | None:
        rows = [rows for _, _, rows in context.slices(group)]
        return np.concatenate(rows, axis=1).std(axis=1) if group.prunable else None

    chosen = Criterion("spread", spread, per="channel")
    got = group_scores(coupling, weights.__getitem__, chosen, norm="none")
    assert list(got) == ["g1"]
    assert got["g1"].shape == (4,)
    assert got["g1"].dtype == np.float64


def test_a_plain_function_is_a_criterion() -> None:
    coupling, weights = synthetic()
    got = group_scores(coupling, weights.__getitem__, lambda context, name, array: abs(array))
    assert np.array_equal(got["g1"], group_scores(coupling, weights.__getitem__, "l1")["g1"])


def test_integers_and_booleans_are_scores() -> None:
    coupling, weights = synthetic()
    got = group_scores(coupling, weights.__getitem__, lambda c, n, array: array > 0, norm="none")
    assert ((got["g1"] > 0) & (got["g1"] < 1)).all()


def test_errors_say_what_exists() -> None:
    coupling, weights = synthetic()
    read = weights.__getitem__
    with pytest.raises(InfeasibleTarget, match=r"agg='middle'.*mean, max, prod, median, first"):
        group_scores(coupling, read, "l1", agg="middle")
    with pytest.raises(InfeasibleTarget, match="did you mean 'gaussian'"):
        group_scores(coupling, read, "l1", norm="gausian")
    with pytest.raises(InfeasibleTarget, match=r"one per element"):
        group_scores(coupling, read, lambda context, name, array: array.sum(axis=0))
    with pytest.raises(InfeasibleTarget, match=r"returned nothing for 'conv.weight'"):
        group_scores(coupling, read, lambda context, name, array: None)
    channel = Criterion("bad", lambda context, group: np.ones(1), per="channel")
    with pytest.raises(InfeasibleTarget, match=r"one per channel"):
        group_scores(coupling, read, channel)
    weights["conv.bias"][0] = np.nan
    with pytest.raises(InfeasibleTarget, match=r"not finite for 'conv.bias'"):
        group_scores(coupling, read, "l1")
