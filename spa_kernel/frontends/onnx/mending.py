"""New weights for an ONNX model after a prune, worked out beside the model as it was."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch

from spa_kernel.coupling.result import Coupling
from spa_kernel.frontends.onnx.batches import batches_of
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import Given
from spa_kernel.frontends.onnx.program import OnnxProgram, to_numpy
from spa_kernel.obspa.foreign import FOREIGN, Adapted, adapt, carried_over
from spa_kernel.obspa.program import copied
from spa_kernel.obspa.reconstruct import Reconstruction
from spa_kernel.obspa.shelf import Shelf


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
        self.given, self.coupling, self.foreign = given, coupling, foreign
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        self.dense = OnnxProgram(Captured(copy, given))
        self.shelf, self.adapted = Shelf(), list[Adapted]()
        for part in batches_of(data, model):
            self.shelf.add(self.dense.begin(part))
        if foreign:
            shelf = Shelf()
            for number in range(len(self.shelf)):
                with self.shelf.taken(number) as (state,):
                    shelf.add(copied(state))
            self.adapted = adapt(self.dense, shelf)
            shelf.close()

    def carry_out(
        self, model: onnx.ModelProto, removed: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """What to change in the model, which has been pruned meanwhile.

        Returns
        -------
        dict of str to numpy.ndarray
            The new content of stored tensors.
        list of str
            What to know of it.
        """
        pruned = OnnxProgram(Captured(model, self.given))
        kept = {
            adapted.norm.mean: self._kept(adapted.norm.mean, removed) for adapted in self.adapted
        }
        for adapted in self.adapted:
            for name, own in zip(adapted.names, adapted.own, strict=True):
                pruned.stored[name].copy_(own[kept[adapted.norm.mean]])
        least = FOREIGN if self.foreign else 0.0
        try:
            for number in range(len(self.shelf)):
                with self.shelf.taken(number) as states:
                    states.append(pruned.begin(states[0].live))
            reconstruction = Reconstruction(
                self.dense, pruned, self.coupling, removed, self.shelf, least
            )
            with torch.no_grad():
                reconstruction.run()
                for adapted in self.adapted:
                    carried_over(adapted, kept[adapted.norm.mean], pruned)
        finally:
            self.shelf.close()
        changed = {*reconstruction.changed, *(n for a in self.adapted for n in a.names)}
        found = {name: to_numpy(pruned.stored[name]) for name in sorted(changed)}
        return found, reconstruction.notes

    def _kept(self, name: str, removed: np.ndarray) -> torch.Tensor:
        """Indices of the entries of a stored tensor that are left."""
        value = self.coupling.graph.stored[name]
        return torch.from_numpy(self.coupling.kept((value, 0), removed)).nonzero().flatten()
