"""The front against its definition."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.studies import Sweep

FEW = st.integers(0, 5).map(float)
POINTS = st.lists(st.tuples(FEW, FEW | st.none()), max_size=12)


@given(POINTS, st.booleans())
def test_nothing_on_the_front_is_beaten(points: list[Any], larger: bool) -> None:
    rows = [{"rf": rf, "value": value} for rf, value in points]
    sweep = Sweep(rows, 1.0, ["l1"], ["flops=2"], "score", larger)
    sign = 1 if larger else -1

    def beats(a: dict[str, float], b: dict[str, float]) -> bool:
        better = a["rf"] - b["rf"], sign * (a["value"] - b["value"])
        return min(better) >= 0 and max(better) > 0

    valued = [row for row in rows if row["value"] is not None]
    front = sweep.pareto()
    assert [row["rf"] for row in front] == sorted(row["rf"] for row in front)
    expected = [row for row in valued if not any(beats(other, row) for other in valued)]
    assert {id(row) for row in front} == {id(row) for row in expected}
