"""Whatever the network: a prune is exact, or it is refused; and undo brings everything back."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_networks import MAKERS, SIDE, RandomNetwork, Step
from reference import judge, ordinary

EXACT = 1e-6
NUMBER = st.integers(0, 7)
STEPS = st.lists(
    st.tuples(st.sampled_from(sorted(MAKERS)), NUMBER, NUMBER, NUMBER), min_size=1, max_size=10
)
WISHES = st.one_of(
    st.fixed_dictionaries(
        {
            "ratio": st.sampled_from([0.2, 0.5, 0.8]),
            "scope": st.sampled_from(["local", "global"]),
            "criterion": st.sampled_from(["l1", "l2", "random"]),
            "seed": st.integers(0, 3),
        }
    ),
    st.fixed_dictionaries({"flops": st.sampled_from([1.3, 2.0])}),
    st.fixed_dictionaries({"params": st.sampled_from([1.3, 2.0])}),
)


def check(steps: list[Step], ends: int, wishes: dict[str, Any], verify: bool) -> str:
    """Prune a random network; what came of it in a word."""
    torch.manual_seed(0)
    model = ordinary(RandomNetwork(steps, ends))
    outcome = judge(model, torch.randn(2, 3, SIDE, SIDE), verify=verify, **wishes)
    if outcome.refused:
        return outcome.refused.partition(":")[0]
    assert outcome.error < EXACT, f"{outcome} of {steps}, {ends}, {wishes}"
    return "exact"


@given(STEPS, NUMBER, WISHES, st.booleans())
@settings(max_examples=60)
def test_exact_or_refused(
    steps: list[Step], ends: int, wishes: dict[str, Any], verify: bool
) -> None:
    check(steps, ends, wishes, verify)


@pytest.mark.slow
def test_exact_or_refused_often() -> None:
    """As above, at length, without the engine's own check, and mostly not refused."""
    found: Counter[str] = Counter()

    @given(STEPS, NUMBER, WISHES)
    @settings(max_examples=2000, suppress_health_check=list(HealthCheck))
    def run(steps: list[Step], ends: int, wishes: dict[str, Any]) -> None:
        found[check(steps, ends, wishes, verify=False)] += 1

    run()
    print(dict(found))
    assert found["exact"] > 0.6 * found.total()
