"""First-order statistics: gradients of the loss by every parameter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch

from spa_kernel.frontends.torch.statistics.run import Run, statistic, wide

Tensors = dict[str, torch.Tensor]


@statistic("gradient")
def gradient(run: Run) -> dict[str, np.ndarray]:
    return arrays(run, mean(found for _, found in per_batch(run)))


@statistic("squared_gradient")
def squared_gradient(run: Run) -> dict[str, np.ndarray]:
    return arrays(run, mean((found for _, found in per_batch(run)), squared=True))


def per_batch(run: Run, temperature: float = 1.0) -> Iterator[tuple[Tensors, Tensors]]:
    """For each batch the parameters, and the gradients by them; zero where the loss has none."""
    with run.parameters() as parameters:
        for inputs, targets in run.batches():
            value = tempered(run, inputs, targets, temperature)
            yield {**parameters}, derivatives([value], parameters)


def tempered(run: Run, inputs: Any, targets: Any, temperature: float) -> torch.Tensor:
    """The loss of a batch; with a temperature, that times the loss of the output divided by it.

    An output that is no tensor is not divided.
    """
    output = run.forward(inputs)
    if temperature == 1:
        return run.objective(output, targets)
    cooled = output / temperature if isinstance(output, torch.Tensor) else output
    return run.objective(cooled, targets) * temperature


def derivatives(
    values: list[torch.Tensor],
    parameters: dict[str, torch.nn.Parameter],
    weights: list[torch.Tensor] | None = None,
    *,
    again: bool = False,
) -> Tensors:
    """Derivatives of values (or of their weighted sum) by parameters; zero where there are none.

    ``again``: so that they can be differentiated in turn.
    """
    found = torch.autograd.grad(
        values, list(parameters.values()), weights, create_graph=again, materialize_grads=True
    )
    return dict(zip(parameters, found, strict=True))


def mean(found: Iterable[Tensors], *, squared: bool = False) -> Tensors:
    """The mean over batches, in single precision at least; nothing is kept of a batch."""
    total: Tensors = {}
    count = 0
    for one in found:
        count += 1
        for name, value in one.items():
            value = wide(value)
            if count == 1:
                total[name] = value.square() if squared else value
            elif squared:
                total[name].addcmul_(value, value)
            elif count == 2:
                # The first one is autograd's, which may hand out one tensor twice.
                total[name] = total[name] + value
            else:
                total[name].add_(value)
    return total if count == 1 else {name: value.div_(count) for name, value in total.items()}


def arrays(run: Run, found: Tensors) -> dict[str, np.ndarray]:
    """As arrays by name, for all parameters of the graph: zeros for those of whole numbers."""
    return {
        value.name: found[value.name].cpu().numpy()
        if value.name in found
        else np.zeros(value.shape, dtype=np.float32)
        for value in run.coupling.graph.parameters
    }
