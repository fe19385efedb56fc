"""One group at a time is pruned, evaluated and put back."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from onnx import ModelProto
from studied_network import SHAPE, disturbing, moving, numbers, score

import spa_kernel as spa
from spa_kernel import progress

RATIOS = (0.1, 0.5, 0.95)


@pytest.mark.parametrize("criterion", ["l1", "random"])
def test_as_pruned_by_hand(session: spa.Session, untouched: Any, criterion: str) -> None:
    found = spa.sensitivity(session, score, criterion, RATIOS, agg="sum", seed=3)
    untouched()
    prunable = {g.id: g for g in session.groups if g.prunable}
    assert found.complete
    assert found.baseline == score(session.model)
    assert [(r["group"], r["ratio"]) for r in found.rows] == [
        (group, ratio) for group in prunable for ratio in RATIOS
    ]
    for row in found.rows:
        other = spa.analyze(copy.deepcopy(session.model), SHAPE)
        other.prune(
            criterion=criterion, ratio=row["ratio"], groups=row["group"], scope="local",
            max_ratio=1.0, agg="sum", seed=3, verify=False,
        )  # fmt: skip
        assert row["value"] == score(other.model)
        assert row["name"] == prunable[row["group"]].name
        assert row["channels"] == prunable[row["group"]].size
        assert row["left"] == row["channels"] - int(row["ratio"] * row["channels"])
        assert row["error"] == ""


def test_the_model_comes_back_whatever_is_done_to_it(session: spa.Session, untouched: Any) -> None:
    plain = spa.sensitivity(session, score, ratios=RATIOS)
    for evaluate in disturbing, moving:
        rough = spa.sensitivity(session, evaluate, ratios=RATIOS)
        untouched()
        assert (rough.baseline, rough.rows) == (plain.baseline, plain.rows)


def test_what_was_computed_before_an_interruption_is_kept(
    session: spa.Session, untouched: Any, stops: Any
) -> None:
    whole = spa.sensitivity(session, score, ratios=RATIOS)
    # Where nothing goes nothing is evaluated; the first call is the baseline.
    evaluated = [i for i, row in enumerate(whole.rows) if row["left"] < row["channels"]]
    for calls in range(4):
        part = spa.sensitivity(session, stops(calls), ratios=RATIOS)
        untouched()
        assert not part.complete
        assert part.rows == (whole.rows[: evaluated[calls - 1]] if calls else [])
        assert f"{len(part.rows)} of {whole.total} points, interrupted" in str(part)


def test_an_error_is_a_row_unless_nothing_works(
    session: spa.Session, untouched: Any, stops: Any
) -> None:
    found = spa.sensitivity(session, stops(1, ValueError("no more")), ratios=[0.5])
    assert found.complete
    assert {row["value"] for row in found.rows} == {None}
    assert {row["error"] for row in found.rows} == {"ValueError: no more"}
    assert "no more" in str(found)
    with pytest.raises(ValueError, match="no more"):
        spa.sensitivity(session, stops(0, ValueError("no more")))
    with pytest.raises(spa.SpaError, match="nan, which is no number"):
        spa.sensitivity(session, lambda model: float("nan"))
    untouched()


def test_groups_by_name_and_what_goes_along(session: spa.Session) -> None:
    found = spa.sensitivity(session, score, ratios=[0.5], groups=["inner", "both"])
    tied = {row["group"]: row["together"] for row in found.rows if row["name"] == "both"}
    assert [row["name"] for row in found.rows] == ["inner", *["both"] * len(tied)]
    assert len(tied) == 2
    first, second = tied
    assert tied == {first: [second], second: [first]}
    assert f"{first} takes {second} along" in str(found)
    with pytest.raises(spa.InfeasibleTarget, match="cannot go"):
        spa.sensitivity(session, score, groups=["inner", "left"])
    with pytest.raises(spa.InfeasibleTarget, match="did you mean"):
        spa.sensitivity(session, score, groups="innr")
    for ratio in (1.0, -0.5, True):
        with pytest.raises(spa.InfeasibleTarget, match="ratios"):
            spa.sensitivity(session, score, ratios=[ratio])


def test_the_ranking_and_the_table(session: spa.Session) -> None:
    found = spa.sensitivity(session, score, ratios=[0.5])
    change = {row["group"]: abs(row["value"] - found.baseline) for row in found.rows}
    assert found.ranking() == sorted(change, key=lambda group: -change[group])
    assert found.table["value"] == [row["value"] for row in found.rows]
    assert list(found.table) == list(found.rows[0])


def test_progress_is_counted(session: spa.Session) -> None:
    told: list[tuple[str, int, int | None]] = []
    with progress.listening(lambda *step: told.append(step)):
        found = spa.sensitivity(session, score, ratios=[0.5])
    counted = [step for step in told if step[0] == "measuring"]
    assert counted == [("measuring", i, found.total) for i in range(found.total)]


def test_an_onnx_model(onnx_model: ModelProto) -> None:
    session = spa.analyze(onnx_model)
    before = onnx_model.SerializeToString(deterministic=True)

    found = spa.sensitivity(session, numbers, ratios=[0.25, 0.5])
    assert (found.baseline, [row["value"] for row in found.rows]) == (64, [48, 32])
    assert onnx_model.SerializeToString(deterministic=True) == before
