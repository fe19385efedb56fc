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
from spa_kernel.obspa.beside import Beside
from spa_kernel.obspa.program import State


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
        self.model = model
        self.dense = TorchProgram(model, recorder)
        self.beside = Beside(self.dense, coupling)
        self.forms: list[Any] = []
        several = len(inputs[0]) > 1
        with seeded():
            for given, _ in batches_of(data, model, "reading batches, batch", several=several):
                for part in parts(given, inputs):
                    self.beside.shelf.add(self.dense.begin(part))
                    self.forms.append(mapped(part, lambda x: x.to("meta")))
        if foreign:
            self.beside.adapt()

    def carry_out(self, recorder: Recorder, removed: np.ndarray) -> list[str]:
        """Give the model, which has been pruned meanwhile, its new weights; what to know of it."""
        pruned = TorchProgram(self.model, recorder, self.dense.graph)
        for name, tensor in self.dense.stored.items():
            if tensor.data_ptr() == pruned.stored[name].data_ptr():
                self.dense.stored[name] = tensor.clone()

        def begin(number: int, dense: State) -> State:
            turn = iter([dense.live[slot] for slot in dense.tape.inputs])
            return pruned.begin(mapped(self.forms[number], partial(taken, turn)), dense)

        self.beside.reconstruct(pruned, removed, begin)
        return self.beside.notes


def taken(turn: Iterator[torch.Tensor], _: torch.Tensor) -> torch.Tensor:
    """The next tensor, in the place of another one."""
    return next(turn)
