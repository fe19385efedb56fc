"""First-order statistics: gradients of the loss by every parameter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from spa_kernel.frontends.torch.statistics.run import Run, statistic

Gradients = dict[str, torch.Tensor]


def per_batch(run: Run) -> Iterator[tuple[dict[str, torch.Tensor], Gradients]]:
    """For each batch the parameters and the gradients by them; zero where the loss has none."""
    with run.parameters() as parameters:
        wanted = {n: p for n, p in parameters.items() if p.requires_grad}
        for inputs, targets in run.batches():
            value = run.objective(run.forward(parameters, inputs), targets)
            found = torch.autograd.grad(value, list(wanted.values()), materialize_grads=True)
            yield wanted, dict(zip(wanted, found, strict=True))


@statistic("gradient")
def gradient(run: Run) -> dict[str, np.ndarray]:
    total: Gradients = {}
    count = 0
    for _, found in per_batch(run):
        count += 1
        for name, value in found.items():
            total[name] = total[name].add_(value) if name in total else value
    return {name: (value / count).cpu().numpy() for name, value in total.items()}
