"""Inputs that a network was not trained on: its BatchNorm layers are made to fit them for a while.

On such inputs activations are larger or smaller than they should be, more so from layer to layer.
With BatchNorm statistics of the inputs themselves the network works as on its own data, as far as
means and variances go; scores and new weights are worked out in that state. What then differs
between the pruned and the dense network's statistics is carried over to those that were stored.
"""

from __future__ import annotations

from typing import NamedTuple

import torch

from spa_kernel import progress
from spa_kernel.obspa.batchnorm import Channels
from spa_kernel.obspa.neighbours import Norm, Surroundings
from spa_kernel.obspa.program import Program
from spa_kernel.obspa.shelf import Shelf

FOREIGN = 0.1
"""Least damping, as a share of the mean diagonal: what the inputs' covariance says beyond its
largest directions is not what the network's own data would say."""


class Adapted(NamedTuple):
    """A BatchNorm, what was stored in it, and what it has for the inputs at hand: float64."""

    norm: Norm
    stored: tuple[torch.Tensor, torch.Tensor]
    own: tuple[torch.Tensor, torch.Tensor]

    @property
    def names(self) -> tuple[str, str]:
        """Of the mean and the variance."""
        return self.norm.mean, self.norm.variance


def adapt(program: Program, shelf: Shelf) -> list[Adapted]:
    """Give a program the BatchNorm statistics of the inputs, layer by layer.

    Parameters
    ----------
    program : Program
        Its entries of `Program.stored` are replaced, the tensors in them left alone.
    shelf : Shelf
        States before the first operator; they are used up.
    """
    graph, found = program.graph, []
    around = Surroundings(graph)
    norms = [
        norm
        for i, node in enumerate(graph.nodes[: graph.evaluated])
        if node.op == "BatchNormalization" and (norm := around.norm(i, node)) is not None
    ]
    for count, norm in enumerate(norms, 1):
        progress.report("fitting norms to the inputs, layer", count, len(norms))
        channels = Channels()
        for number in range(len(shelf)):
            with shelf.taken(number) as (state,):
                program.run(state, norm.index, through=False)
                x = program.operand(state, norm.index, 0)
                if x is not None:
                    channels.add(x)
        if not channels.count:
            continue
        before = program.stored[norm.mean], program.stored[norm.variance]
        own = channels.get()
        # What never varies says nothing.
        variance = own.variance.where(own.variance > 1e-3 * before[1].double(), before[1].double())
        # Copies, as the model's own memory may be written to before they are needed.
        stored = tuple(tensor.to(torch.float64, copy=True) for tensor in before)
        found.append(Adapted(norm, (stored[0], stored[1]), (own.mean, variance)))
        for name, old, new in zip(
            (norm.mean, norm.variance), before, (own.mean, variance), strict=True
        ):
            program.stored[name] = new.to(old)
    return found


def carried_over(adapted: Adapted, kept: torch.Tensor, pruned: Program) -> None:
    """Turn the statistics of a pruned program into those for the network's own data.

    Parameters
    ----------
    adapted : Adapted
    kept : torch.Tensor
        Indices of the channels that are left.
    pruned : Program
        Its tensors are written to.
    """
    norm = adapted.norm
    mean, variance = (pruned.stored[name].double() for name in (norm.mean, norm.variance))
    (mean_stored, variance_stored), (mean_own, variance_own) = (
        tuple(t.index_select(0, kept.to(t.device)) for t in pair)
        for pair in (adapted.stored, adapted.own)
    )
    ratio = (variance + norm.epsilon) / (variance_own + norm.epsilon)
    variance = ((variance_stored + norm.epsilon) * ratio - norm.epsilon).clamp(min=0)
    pruned.stored[norm.variance].copy_(variance)
    pruned.stored[norm.mean].copy_(mean + (mean_stored - mean_own) * ratio.sqrt())
