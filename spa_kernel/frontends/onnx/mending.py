"""New weights after a prune for an ONNX model that torch cannot rebuild, by onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.frontends.onnx.batches import batches_of
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import Given
from spa_kernel.frontends.onnx.program import OnnxProgram, to_numpy
from spa_kernel.obspa.beside import Beside


class Mending:
    """A copy of the model before a prune, with the batches that it is to be compared on after it.

    Parameters
    ----------
    model : onnx.ModelProto
    given : dict
        Arrays or shapes of inputs, by name.
    coupling : Coupling
    data : iterable
        Batches.
    foreign : bool
        Whether they are not what the network was trained on.

    Raises
    ------
    DataNeeded
    """

    def __init__(
        self, model: onnx.ModelProto, given: Given, coupling: Coupling, data: Any, foreign: bool
    ) -> None:
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        dense = OnnxProgram(Captured(copy, given))
        self.beside = Beside(dense, coupling)
        for part in batches_of(data, model):
            self.beside.shelf.add(dense.begin(part))
        if foreign:
            self.beside.adapt()

    def carry_out(
        self, model: onnx.ModelProto, inputs: Given, removed: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """As `spa_kernel.frontends.twins.TwinMending.carry_out`."""
        pruned = OnnxProgram(Captured(model, inputs))
        changed = self.beside.reconstruct(
            pruned, removed, lambda _, dense: pruned.begin(dense.live)
        )
        found = {name: to_numpy(pruned.stored[name]) for name in sorted(changed)}
        return found, self.beside.notes
