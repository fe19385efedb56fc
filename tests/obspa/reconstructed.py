"""Prunes with new weights, and what they leave of the outputs, for tests."""

from __future__ import annotations

import copy
from typing import Any

from all_structures import output
from torch import nn

import spa_kernel as spa

HALF: dict[str, Any] = {"criterion": "l1", "ratio": 0.5, "scope": "local"}


def error(dense: nn.Module, pruned: nn.Module, data: list[Any]) -> float:
    """Mean square of the outputs' differences, as shares of their variances."""
    total = 0.0
    for batch in data:
        for x, y in zip(output(dense, batch), output(pruned, batch), strict=True):
            total += float((x - y).double().square().mean() / x.double().var())
    return total / len(data)


def pruned(model: nn.Module, inputs: Any, **wishes: Any) -> nn.Module:
    """A pruned copy."""
    session = spa.analyze(copy.deepcopy(model), inputs)
    session.prune(**wishes)
    made: nn.Module = session.model
    return made
