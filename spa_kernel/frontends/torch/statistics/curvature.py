"""The Hessian of the loss times its gradient: how the gradient's norm changes with each weight."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from spa_kernel.frontends.torch.statistics.gradient import (
    Tensors,
    arrays,
    derivatives,
    mean,
    per_batch,
    tempered,
)
from spa_kernel.frontends.torch.statistics.run import Run, statistic

TEMPERATURE = 200.0
"""By which GraSP divides logits (arXiv 2002.07376)."""


@statistic("hessian_gradient")
def hessian_gradient(run: Run) -> dict[str, np.ndarray]:
    return arrays(run, mean(products(run, 1.0)))


@statistic("tempered_hessian_gradient")
def tempered_hessian_gradient(run: Run) -> dict[str, np.ndarray]:
    # The loss is multiplied by the temperature, so that half precision holds the gradients.
    found = mean(products(run, TEMPERATURE))
    return arrays(run, {name: value / TEMPERATURE**2 for name, value in found.items()})


def products(run: Run, temperature: float) -> Iterator[Tensors]:
    """For each batch its Hessian times the gradient of all batches together, of `tempered` loss.

    ``H g`` is the derivative of ``sum(v * g)`` where ``v`` is ``g`` as a constant.
    """
    run.again()
    # The faster kinds of attention cannot be differentiated twice.
    with sdpa_kernel(SDPBackend.MATH), run.parameters() as parameters:
        whole = None
        if run.count != 1:
            whole = mean(found for _, found in per_batch(run, temperature))
        for inputs, targets in run.batches():
            value = tempered(run, inputs, targets, temperature)
            found = derivatives([value], parameters, again=True)
            bent = [n for n, g in found.items() if g.requires_grad]
            constant = found if whole is None else whole
            if bent:
                yield derivatives(
                    [found[n] for n in bent],
                    parameters,
                    [constant[n].detach().to(found[n].dtype) for n in bent],
                )
            else:
                yield {n: torch.zeros_like(p) for n, p in parameters.items()}
