"""A network before a prune and after it, side by side on the same batches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from spa_kernel.coupling.result import Coupling
from spa_kernel.obspa.foreign import FOREIGN, Adapted, adapt, carried_over
from spa_kernel.obspa.program import Program, State, copied
from spa_kernel.obspa.reconstruct import Reconstruction
from spa_kernel.obspa.shelf import Shelf


class Beside:
    """The network before a prune, with the batches that it is to be compared on after it.

    Parameters
    ----------
    dense : Program
    coupling : Coupling
        Of its graph.

    Attributes
    ----------
    shelf : Shelf
        States of the batches, before the first operator.
    notes : list of str
        What to know of the new weights, in sentences.
    """

    def __init__(self, dense: Program, coupling: Coupling) -> None:
        self.dense, self.coupling = dense, coupling
        self.shelf = Shelf()
        self.adapted: list[Adapted] = []
        self.least = 0.0
        self.notes: list[str] = []

    def adapt(self) -> None:
        """The batches are not what the network was trained on: see `spa_kernel.obspa.foreign`."""
        shelf = Shelf()
        for number in range(len(self.shelf)):
            with self.shelf.taken(number) as (state,):
                shelf.add(copied(state))
        with torch.no_grad():
            self.adapted = adapt(self.dense, shelf)
        shelf.close()
        self.least = FOREIGN

    def reconstruct(
        self, pruned: Program, removed: np.ndarray, begin: Callable[[int, State], State]
    ) -> set[str]:
        """Give the pruned network its new weights.

        Parameters
        ----------
        pruned : Program
            Its tensors are written to.
        removed : numpy.ndarray
            bool, one per label.
        begin : callable
            From a batch's number and its state in the dense network to that in the pruned one.

        Returns
        -------
        set of str
            Names of the tensors that were written to.
        """
        kept = {one.norm.mean: self._kept(one.norm.mean, removed) for one in self.adapted}
        for one in self.adapted:
            for name, own in zip(one.names, one.own, strict=True):
                pruned.stored[name].copy_(own[kept[one.norm.mean].to(own.device)])
        try:
            for number in range(len(self.shelf)):
                with self.shelf.taken(number) as states:
                    states.append(begin(number, states[0]))
            work = Reconstruction(
                self.dense, pruned, self.coupling, removed, self.shelf, self.least
            )
            with torch.no_grad():
                work.run()
                for one in self.adapted:
                    carried_over(one, kept[one.norm.mean], pruned)
        finally:
            self.shelf.close()
        if work.left:
            names = dict.fromkeys(work.left)
            more = f" and {len(names) - 3} others" if len(names) > 3 else ""
            self.notes.append(
                f"{', '.join(list(names)[:3])}{more} could not be fitted anew (shared, or not seen "
                "as a product of its own): cut, with the values that they had"
            )
        return work.changed | {name for one in self.adapted for name in one.names}

    def _kept(self, name: str, removed: np.ndarray) -> torch.Tensor:
        """Indices of the entries of a stored tensor that are left."""
        value = self.coupling.graph.stored[name]
        return torch.from_numpy(self.coupling.kept((value, 0), removed)).nonzero().flatten()
