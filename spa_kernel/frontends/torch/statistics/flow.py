"""Synaptic flow: what each weight carries of the sum of the outputs, without any data."""

from __future__ import annotations

import numpy as np
import torch

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.frontends.torch.attributes import stored_tensors
from spa_kernel.frontends.torch.capture import quiet_eval, tensors_in
from spa_kernel.frontends.torch.passes import mapped
from spa_kernel.frontends.torch.statistics.gradient import arrays, derivatives
from spa_kernel.frontends.torch.statistics.run import Run, statistic


@statistic("flow")
def flow(run: Run) -> dict[str, np.ndarray]:
    """Derivatives dR / d|w|, with R the sum of the outputs of the network with weights |w|.

    In evaluation mode on an input of ones (whole numbers: the example input). Running means
    are taken as zero, so that a BatchNorm only scales and no flow is taken away from another;
    all other buffers are as they are.

    Double precision, as R grows by a factor with each layer; a model whose code allows for one
    kind of numbers only is run in its own.
    """
    try:
        found = derivative(run, torch.float64)
    except (RuntimeError, TypeError):
        run.kept.restore()
        found = derivative(run, None)
    for name, array in found.items():
        if not np.isfinite(array).all():
            raise InfeasibleTarget(
                f"the flow through {type(run.model).__name__} is not finite, first at {name!r}: "
                "its weights are too large for the number of layers; use another criterion"
            )
    return found


def derivative(run: Run, dtype: torch.dtype | None) -> dict[str, np.ndarray]:
    """The derivative, worked out in a type or in each tensor's own; the weights stay changed."""
    for kind, name, tensor in stored_tensors(run.model):
        if tensor.dtype.is_floating_point:
            content = tensor.detach().to(dtype or tensor.dtype)
            if kind == "parameter":
                content = content.abs()
            elif name.rpartition(".")[2] == "running_mean":
                content = torch.zeros_like(content)
            # What the tensor held before is put back when the statistic is done.
            tensor.data = content

    def ones(x: torch.Tensor) -> torch.Tensor:
        if not x.dtype.is_floating_point:
            return x.clone()
        return torch.ones_like(x, dtype=dtype)

    args, kwargs = mapped(run.inputs, ones)
    with quiet_eval(run.model), run.parameters() as parameters:
        outputs = tensors_in(run.model(*args, **kwargs))
        total = sum(t.sum() for t in outputs if t.requires_grad)
        if not isinstance(total, torch.Tensor):
            raise InfeasibleTarget(
                f"no output of {type(run.model).__name__} has a derivative by its weights: use "
                "another criterion"
            )
        return arrays(run, derivatives([total], parameters))
