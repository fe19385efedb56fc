"""What removing channels costs, as an ONNX model shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from spa_kernel.coupling.result import Coupling
from spa_kernel.frontends.onnx.batches import batches_of
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.program import OnnxProgram
from spa_kernel.obspa.costs import costs
from spa_kernel.obspa.foreign import adapt
from spa_kernel.obspa.program import State
from spa_kernel.obspa.shelf import Shelf


def removal_cost(
    captured: Captured, coupling: Coupling, data: Any, foreign: bool
) -> dict[str, np.ndarray]:
    """By shares of the variance of each product's output, as there are no derivatives.

    How much each group matters to the network's output is measured. Groups of which no product
    reads a channel, as of the queries and keys of an attention, are left out; single channels that
    none reads cost as much as the dearest of their group.

    Raises
    ------
    DataNeeded, InfeasibleTarget
    """
    program = OnnxProgram(captured)
    parts = list(batches_of(data, captured.model))

    def begin() -> Iterator[State]:
        return map(program.begin, parts)

    with torch.no_grad():
        if foreign:
            shelf = Shelf()
            for state in begin():
                shelf.add(state)
            adapt(program, shelf)
            shelf.close()
        found = costs(program, coupling, begin, len(parts)).groups
    return {
        name: np.where(np.isnan(own), np.nanmax(own), own)
        for name, own in found.items()
        if not np.isnan(own).all()
    }
