"""One coupling pattern at a time: pruned exactly and truly smaller, or refused; then undone."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from all_structures import STRUCTURES
from reference import Outcome, judge, ordinary

EXACT = 1e-5


def prune(name: str, **wishes: Any) -> Outcome:
    model, inputs = STRUCTURES[name]()
    return judge(ordinary(model), inputs, **wishes)


@pytest.mark.parametrize("name", STRUCTURES)
def test_half_of_each_group(name: str) -> None:
    outcome = prune(name, ratio=0.5, scope="local")
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost >= 0.05


@pytest.mark.parametrize("name", STRUCTURES)
def test_fewer_operations(name: str) -> None:
    outcome = prune(name, flops=1.5)
    if outcome.refused:
        assert outcome.refused.startswith("InfeasibleTarget"), outcome.refused
    else:
        assert outcome.error < EXACT
        assert outcome.rf >= 1.5


@pytest.mark.parametrize("name", STRUCTURES)
def test_analysis_alone_is_sound(name: str) -> None:
    """Without the check after a prune, what the coupling allows must be exact already."""
    torch.manual_seed(3)
    outcome = prune(name, ratio=0.3, criterion="random", seed=1, scope="local", verify=False)
    if not outcome.refused:
        assert outcome.error < EXACT
