"""A network and its ONNX export have the same coupled channels."""

from __future__ import annotations

import re
from collections import Counter

import pytest

import spa_kernel as spa

from .check import built, one_thread
from .network import inputs, program
from .twin import ACROSS, TOGETHER, Twins, compared

EXCUSES = (
    # Python holds sizes that no attribute repairs; in ONNX every size can be written anew.
    r"only onnx: the size ",
    r"only onnx: .* (has this many groups|takes every|rolls this axis|makes an axis of its own)",
    r"only onnx: there is only one index",
    f"only (onnx|torch): ({ACROSS}|{TOGETHER})",
    r"only onnx: .* (depends on every entry|takes the largest|averages over)",
    r"only onnx: (nobody has described|.* ties indices that cannot be matched)",
    # What the exporter makes of a layer is an operator with weights of another layout.
    r"only torch: nobody has described what (LSTM|GRU|ScatterND|GatherND|GatherElements|Attention)",
    # A mean over a pruned axis is put right in torch only.
    r"only torch: ReduceMean .* (sums over it|averages over it|reduces over this axis)",
    r"only torch: .* ties indices that cannot be matched",
    r"only torch: .* in a way that allows no other",
)
"""Why one side may freeze what the other lets go."""


def read_twice(number: int) -> Twins | None:
    """``None`` for a network that cannot be exported (or does not run)."""
    try:
        model = built(program(number))
        with one_thread():
            return compared(model, inputs(program(number).inputs))
    except spa.SpaError:
        raise
    except Exception:
        return None


def unexcused(result: Twins) -> list[str]:
    return [said for said in result.only if not any(re.match(e, said) for e in EXCUSES)]


@pytest.mark.parametrize("number", [6, 7, 11, 13, 15, 16, 26, 29, 34, 37])
def test_same_channels(number: int) -> None:
    result = read_twice(number)
    assert result is not None
    assert not result.contradictions
    assert not unexcused(result)
    assert result.common


@pytest.mark.slow
def test_same_channels_of_many() -> None:
    found: Counter[str] = Counter()
    for number in range(300):
        result = read_twice(number)
        if result is None:
            found["not exported"] += 1
            continue
        assert not result.contradictions, f"{number}: {result.contradictions[0]}"
        assert not unexcused(result), f"{number}: {unexcused(result)}"
        found["common"] += result.common
        found["other"] += sum(result.only.values())
    print(dict(found))
    assert found["not exported"] < 40
    assert found["common"] > 5 * found["other"]
