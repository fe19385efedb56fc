"""New weights for a torch module after a prune, worked out beside the network as it was."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from spa_kernel.coupling.result import Coupling
from spa_kernel.frontends.torch.batches import batches_of, parts
from spa_kernel.frontends.torch.capture import seeded
from spa_kernel.frontends.torch.passes import Inputs, mapped
from spa_kernel.frontends.torch.program import TorchProgram
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.obspa.foreign import FOREIGN, Adapted, adapt, carried_over
from spa_kernel.obspa.program import copied
from spa_kernel.obspa.reconstruct import Reconstruction
from spa_kernel.obspa.shelf import Shelf


class Mending:
    """The network before a prune, with the batches that it is to be compared on after it.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tuple
        The example inputs.
    recorder : Recorder
    coupling : Coupling
        Of the recording.
    data : iterable
        Batches.
    foreign : bool
        Whether they are not what the network was trained on.

    Raises
    ------
    DataNeeded
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Inputs,
        recorder: Recorder,
        coupling: Coupling,
        data: Any,
        foreign: bool,
    ) -> None:
        self.model, self.coupling = model, coupling
        self.dense = TorchProgram(model, recorder)
        self.shelf, self.adapted = Shelf(), list[Adapted]()
        self.foreign = foreign
        self.forms: list[Any] = []
        several = len(inputs[0]) > 1
        with seeded():
            for given, _ in batches_of(data, model, "reading batches, batch", several=several):
                for part in parts(given, inputs):
                    self.shelf.add(self.dense.begin(part))
                    self.forms.append(mapped(part, lambda x: x.to("meta")))
        if foreign:
            self._adapt()

    def _adapt(self) -> None:
        """BatchNorm statistics of the inputs, for as long as new weights are worked out."""
        shelf = Shelf()
        for number in range(len(self.shelf)):
            with self.shelf.taken(number) as (state,):
                shelf.add(copied(state))
        with torch.no_grad():
            self.adapted = adapt(self.dense, shelf)
        shelf.close()

    def carry_out(self, recorder: Recorder, removed: np.ndarray) -> list[str]:
        """Give the model, which has been pruned meanwhile, its new weights.

        Returns
        -------
        list of str
            What to know of it.
        """
        pruned = TorchProgram(self.model, recorder, self.dense.graph)
        kept = {
            name: torch.from_numpy(self.coupling.kept((value, 0), removed)).nonzero().flatten()
            for name, value in self.coupling.graph.stored.items()
            if value.ndim == 1
        }
        for adapted in self.adapted:
            for name, own in zip(adapted.names, adapted.own, strict=True):
                pruned.stored[name].copy_(own[kept[name]])
        for name, tensor in self.dense.stored.items():
            if tensor.data_ptr() == pruned.stored[name].data_ptr():
                self.dense.stored[name] = tensor.clone()
        least = FOREIGN if self.foreign else 0.0
        try:
            for number, form in enumerate(self.forms):
                with self.shelf.taken(number) as states:
                    turn = iter([states[0].live[slot] for slot in states[0].tape.inputs])
                    states.append(pruned.begin(mapped(form, partial(taken, turn)), states[0]))
            reconstruction = Reconstruction(
                self.dense, pruned, self.coupling, removed, self.shelf, least
            )
            with torch.no_grad():
                reconstruction.run()
                for adapted in self.adapted:
                    carried_over(adapted, kept[adapted.norm.mean], pruned)
        finally:
            self.shelf.close()
        return reconstruction.notes


def taken(turn: Iterator[torch.Tensor], _: torch.Tensor) -> torch.Tensor:
    """The next tensor, in the place of another one."""
    return next(turn)
