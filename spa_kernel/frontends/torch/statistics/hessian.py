"""Second moments of layers' inputs, and how much each weight matters by them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.frontends.torch.statistics.means import Means
from spa_kernel.frontends.torch.statistics.observe import Observer, observe
from spa_kernel.frontends.torch.statistics.run import Run, statistic
from spa_kernel.frontends.torch.statistics.seen import uses
from spa_kernel.graph.ir import Node
from spa_kernel.products.ways import Way

BUDGET = 2**31
"""Most bytes of Hessians at once; with more, the data is gone through again for the rest."""
DAMPING = 0.01
"""Share of the mean diagonal that is added to the diagonal, as in OBC and SparseGPT."""


@dataclass
class Hessian:
    """``H = 2 / n X X^T`` of the inputs X of a layer.

    Attributes
    ----------
    way : Way
        How the layer's weight is made of a parameter.
    matrix : torch.Tensor
        (G, D, D), in single precision unless the model is in double; one block for each group of
        a convolution. D runs over input channels, and then over the positions of a kernel.
    count : int
        n, the number of positions.
    spread : callable
        From numbers for inputs, (G, D), to a shape that broadcasts to the layer's weight's.
    """

    way: Way
    matrix: torch.Tensor
    count: int
    spread: Callable[[torch.Tensor], torch.Tensor]


class Pass:
    """The Hessians that are summed up while the model runs on the data once.

    Parameters
    ----------
    done : set
        Those that are known already.
    """

    def __init__(self, done: set[Any]) -> None:
        self.done = done
        self.found: dict[Any, Hessian] = {}
        self.left = False
        """Whether there are more than fit."""
        self._bytes = 0

    def see(self, observer: Observer, node: Node, arguments: tuple[Any, ...]) -> None:
        for way, use in uses(observer, node):
            g, d, n = use.shape
            key = way, g, d
            if key in self.done or not n:
                continue
            if key not in self.found:
                needed = g * d * d * use.like.element_size()
                if self.found and self._bytes + needed > BUDGET:
                    self.left = True
                    continue
                self._bytes += needed
                self.found[key] = Hessian(way, use.like.new_zeros((g, d, d)), 0, use.spread)
            hessian = self.found[key]
            for x, _ in use.pieces(None, None):
                hessian.matrix.baddbmm_(x, x.transpose(1, 2))
            hessian.count += n


def hessians(run: Run) -> Iterator[Hessian]:
    """The Hessians of all layers, of each kind of use of each parameter, one after the other.

    As many as fit into `BUDGET` (and one at least) are summed up while the model runs on the
    data; then it runs again. Each may be changed in place.
    """
    run.again()
    done: set[Any] = set()
    left = True
    while left:
        part = Pass(done)
        observe(run, part.see)
        done.update(part.found)
        left = part.left
        while part.found:
            _, hessian = part.found.popitem()
            hessian.matrix *= 2 / hessian.count
            if not hessian.matrix.isfinite().all():
                raise InfeasibleTarget(
                    f"what {hessian.way.parameter!r} is multiplied by is not finite, or too large "
                    "to be squared: look for NaN or infinity in the data and the weights"
                )
            yield hessian


def damped(matrix: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A Hessian (G, D, D) that can be inverted, in double precision, and which inputs are dead.

    Inputs that are always zero get a one on the diagonal; the damping is a share of the mean over
    the others.
    """
    matrix = matrix.double()
    diagonal = matrix.diagonal(dim1=1, dim2=2)
    dead = diagonal == 0
    mean = diagonal.sum(1) / (~dead).sum(1).clamp(min=1)
    matrix = matrix + torch.diag_embed(dead.double() + DAMPING * mean[:, None])
    return matrix, dead


def importance(matrix: torch.Tensor) -> torch.Tensor:
    """``1 / [H^-1]_jj`` for each input, (G, D), of a Hessian; zero for dead inputs."""
    matrix, dead = damped(matrix)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
    return torch.where(dead, 0.0, 1 / inverse.diagonal(dim1=1, dim2=2))


@statistic("inverse_hessian_diagonal")
def inverse_hessian_diagonal(run: Run) -> dict[str, np.ndarray]:
    means = Means()
    for hessian in hessians(run):
        means.add(hessian.way, hessian.spread(importance(hessian.matrix)), hessian.count)
    return {name: (1 / means.get(name, 2.0)).cpu().numpy() for name in means.totals}
