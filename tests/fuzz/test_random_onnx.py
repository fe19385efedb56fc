"""Random ONNX models: a prune is exact or refused, and can be taken back."""

from __future__ import annotations

import pytest

from .onnx import BAD, examine


@pytest.mark.parametrize("start", [0, 10, 20])
def test_some(start: int) -> None:
    results = {number: examine(number) for number in range(start, start + 10)}
    assert not {n: r for n, r in results.items() if r["class"] in BAD}
    assert sum(r["class"] == "exact" for r in results.values()) > 5
