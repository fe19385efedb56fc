"""Every criterion at every target, on copies of the model, here or elsewhere."""

from __future__ import annotations

import copy
import csv
import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from distributed import Client, LocalCluster
from onnx import ModelProto
from studied_network import EXAMPLE, SHAPE, numbers, score, trained
from torch import nn

import spa_kernel as spa
from spa_kernel import progress

CRITERIA: list[Any] = ["l1", "random", {"criterion": "l2", "agg": "sum", "norm": "max"}]
TARGETS: list[Any] = [1.5, {"params": 2}, {"ratio": 0.25, "scope": "local"}]
FAR = {"flops": 1e6}


def told(found: spa.Sweep) -> tuple[Any, ...]:
    """All that does not depend on the time of day."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in found.rows]
    return found.baseline, found.labels, found.targets, rows


def test_as_pruned_by_hand(session: spa.Session, untouched: Any) -> None:
    found = spa.sweep(session, CRITERIA, TARGETS, score, seed=5)
    untouched()
    assert found.complete
    assert found.baseline == score(session.model)
    wishes = [
        {"agg": "mean", "norm": "mean", **(c if isinstance(c, dict) else {"criterion": c}), **t}
        for c in CRITERIA
        for t in [{"flops": 1.5}, *TARGETS[1:]]
    ]
    for row, wish in zip(found.rows, wishes, strict=True):
        other = spa.analyze(copy.deepcopy(session.model), SHAPE)
        report = other.prune(**wish, seed=5)
        assert (row["rf"], row["rp"]) == (report.rf, report.rp)
        assert row["value"] == score(other.model)
        assert [row[k] for k in ("criterion", "agg", "norm")] == [
            wish[k] for k in ("criterion", "agg", "norm")
        ]
        assert row["error"] == ""
        assert row["seconds"] > 0
    assert found.labels == ["l1", "random", "l2, agg=sum, norm=max"]
    assert found.targets == ["flops=1.5", "params=2", "ratio=0.25, scope=local"]


@pytest.fixture(scope="module")
def processes() -> Iterator[Executor]:
    # Threads of torch do not survive a fork.
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        yield pool


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Executor]:
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path_factory.mktemp("dask")),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client.get_executor()


@pytest.fixture
def threads() -> Iterator[Executor]:
    with ThreadPoolExecutor(3) as pool:
        yield pool


@pytest.mark.parametrize("place", ["threads", "processes", "dask"])
def test_the_same_wherever_it_is_worked_out(
    session: spa.Session, untouched: Any, place: str, request: pytest.FixtureRequest
) -> None:
    bound = 2.0

    def own(context: Any, name: str, array: np.ndarray) -> np.ndarray:
        """A criterion that no other process could import."""
        return np.minimum(np.abs(array), bound)

    def value(model: nn.Module) -> float:
        return score(model) * bound

    what: dict[str, Any] = {"finetune": trained, "verify": False}
    points = [own, CRITERIA[2]], [1.5, FAR]
    here = spa.sweep(session, *points, value, **what)
    there = spa.sweep(session, *points, value, **what, executor=request.getfixturevalue(place))
    untouched()
    assert [row["value"] is None for row in there.rows] == [False, True, False, True]
    assert told(there) == told(here)


def test_nobody_reads_a_model_while_threads_evaluate(session: spa.Session) -> None:
    call = nn.Module.__call__

    def value(model: nn.Module) -> float:
        # A recording changes this for the whole process.
        assert nn.Module.__call__ is call
        found = score(model)
        assert nn.Module.__call__ is call
        return found

    with ThreadPoolExecutor(2) as pool:
        found = spa.sweep(session, ["l1", "l2", "random"], 1.5, value, executor=pool)
    assert [row["error"] for row in found.rows] == ["", "", ""]


def test_what_cannot_be_sent_is_refused_at_once(
    session: spa.Session, untouched: Any, processes: Executor
) -> None:
    lock = threading.Lock()

    def value(model: nn.Module) -> float:
        with lock:
            return score(model)

    with pytest.raises(spa.SpaError, match=r"evaluate cannot be sent .*lock"):
        spa.sweep(session, "l1", 1.5, value, executor=processes)
    with pytest.raises(spa.SpaError, match="finetune cannot be sent"):
        spa.sweep(session, "l1", 1.5, score, finetune=value, executor=processes)
    assert spa.sweep(session, "l1", 1.5, value).complete
    untouched()


@pytest.mark.parametrize("calls", [0, 1, 4])
@pytest.mark.parametrize("threaded", [False, True])
def test_what_was_computed_before_an_interruption_is_kept(
    session: spa.Session, untouched: Any, stops: Any, calls: int, threaded: bool
) -> None:
    whole = spa.sweep(session, CRITERIA, TARGETS, score)
    executor = ThreadPoolExecutor(1) if threaded else None
    part = spa.sweep(session, CRITERIA, TARGETS, stops(calls), executor=executor)
    if executor:
        executor.shutdown()
    untouched()
    assert not part.complete
    kept = max(calls - 1, 0)
    assert told(part)[3] == told(whole)[3][:kept]
    assert part.baseline == (whole.baseline if calls else None)
    assert f"{kept} of 9 points, interrupted" in str(part)
    assert part.pareto() is not None
    part.figure()


def test_refusals_and_errors_are_rows(session: spa.Session, stops: Any) -> None:
    data = [(EXAMPLE, torch.tensor([0, 1]))]
    found = spa.sweep(session, ["l1", "taylor"], [1.5, FAR], stops(2, OSError("disk full")))
    rows = {(row["label"], row["target"]): row["error"] for row in found.rows}
    assert rows["l1", "flops=1.5"] == ""
    assert rows["l1", "flops=1e+06"].startswith("InfeasibleTarget: flops=1000000.0 cannot be")
    assert rows["taylor", "flops=1.5"].startswith("DataNeeded: ")
    assert rows["taylor", "flops=1e+06"] == rows["taylor", "flops=1.5"]
    assert "3 points have no value, and why" in str(found)

    # Data that can be read once is enough for all points.
    found = spa.sweep(
        session, ["taylor", {"criterion": "taylor", "agg": "sum"}], [1.2, 1.5],
        stops(4, OSError("disk full")), data=iter(data), loss=F.cross_entropy,
    )  # fmt: skip
    errors = [row["error"] for row in found.rows]
    assert errors == ["", "", "", "OSError: disk full"]
    assert found.rows[3]["rf"] >= 1.5
    with pytest.raises(OSError, match="disk full"):
        spa.sweep(session, "l1", 1.5, stops(0, OSError("disk full")))


def test_in_several_steps_scores_are_worked_out_anew(session: spa.Session) -> None:
    asked = []

    @spa.criterion("noted")
    def noted(context: Any, name: str, array: np.ndarray) -> np.ndarray:
        asked.append(context.coupling)
        return np.abs(array)

    spa.sweep(session, "noted", [1.2, 1.5, 2], score)
    assert len({id(coupling) for coupling in asked}) == 1
    found = spa.sweep(session, "noted", 2, score, steps=2)
    other = spa.analyze(copy.deepcopy(session.model), SHAPE)
    other.prune(criterion="l1", flops=2, steps=2)
    assert found.rows[0]["value"] == score(other.model)


def test_what_makes_no_sense_is_refused_at_once(session: spa.Session) -> None:
    refused: list[tuple[Any, Any, str]] = [
        ("l11", 2, "did you mean 'l1'"),
        (["l1", "l1"], 2, "'l1' stands there twice"),
        ([], 2, "criteria: give at least one"),
        ({"agg": "sum"}, 2, "names no criterion"),
        ("l1", [2, {"flops": 2.0}], "'flops=2' stands there twice"),
        ("l1", {"flops": 2, "params": 2}, "is no target"),
        ("l1", True, "is no target"),
    ]
    for criteria, targets, why in refused:
        with pytest.raises(spa.InfeasibleTarget, match=why):
            spa.sweep(session, criteria, targets, score)
    with pytest.raises(TypeError, match="unexpected keyword argument 'rond_to'"):
        spa.sweep(session, "l1", 2, score, rond_to=8)


def test_progress_is_counted(session: spa.Session, threads: Executor) -> None:
    for executor in (None, threads):
        heard: list[tuple[str, int, int | None]] = []
        with progress.listening(lambda *step, heard=heard: heard.append(step)):
            spa.sweep(session, CRITERIA, TARGETS, score, executor=executor)
        assert {(phase, total) for phase, _, total in heard} == {("sweeping", 9)}
        counts = [done for _, done, _ in heard]
        assert counts == sorted(counts)
        assert counts[-1] == 9


def test_best_and_a_file(session: spa.Session, tmp_path: Path) -> None:
    found = spa.sweep(session, CRITERIA, TARGETS, score)
    loss = spa.sweep(session, CRITERIA, TARGETS, score, larger_is_better=False)
    for target in TARGETS:
        column = [row for row in found.rows if row["target"] == found.best(target)["target"]]
        assert len(column) == 3
        assert found.best(target)["value"] == max(row["value"] for row in column)
        assert loss.best(target)["value"] == min(row["value"] for row in column)
    with pytest.raises(spa.InfeasibleTarget, match=r"had no target 'flops=9', only flops=1.5"):
        found.best(9)
    with found.to_csv(tmp_path / "sweep.csv").open(newline="") as file:
        assert list(csv.DictReader(file)) == [
            {key: "" if entry is None else str(entry) for key, entry in row.items()}
            for row in found.rows
        ]


def test_an_onnx_model(threads: Executor, onnx_model: ModelProto) -> None:
    session = spa.analyze(onnx_model)
    before = onnx_model.SerializeToString(deterministic=True)

    for executor in (None, threads):
        found = spa.sweep(session, ["l1", "random"], {"ratio": 0.5}, numbers, executor=executor)
        assert (found.baseline, [row["value"] for row in found.rows]) == (64, [32, 32])
    assert onnx_model.SerializeToString(deterministic=True) == before


def test_new_weights_at_every_point(session: spa.Session) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(8, *SHAPE[1:], generator=generator) for _ in range(4)]
    found = spa.sweep(session, ["obspa"], [1.3], score, data=inputs)
    assert found.rows[0]["error"] == ""
    other = spa.analyze(copy.deepcopy(session.model), SHAPE)
    other.prune(criterion="obspa", flops=1.3, data=inputs)
    assert found.rows[0]["value"] == pytest.approx(score(other.model), rel=1e-3)
    other.undo()
    other.prune(criterion="obspa", flops=1.3, data=inputs, reconstruct=False)
    assert found.rows[0]["value"] != pytest.approx(score(other.model), rel=1e-3)
