"""A loss written in jax.numpy, of the output of a torch module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import torch
from torch.autograd.function import once_differentiable

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.frontends.torch.passes import mapped

Loss = Callable[[Any, Any], Any]


TWICE = frozenset(["hessian_gradient", "tempered_hessian_gradient"])
"""Statistics for which a loss is differentiated twice."""


def bridged(loss: Loss, need: str) -> Loss:
    """The same loss for torch tensors; by way of jax if it cannot take them itself.

    Then it can be differentiated once.

    Parameters
    ----------
    loss : callable
    need : str
        The statistic that it is for.
    """

    def call(output: Any, targets: Any) -> Any:
        try:
            return loss(output, targets)
        except Exception as error:
            if need in TWICE:
                raise InfeasibleTarget(
                    f"{error}. {need} needs second derivatives: the loss must take torch tensors, "
                    "as torch.nn.functional.cross_entropy does"
                ) from error
            given: list[torch.Tensor] = []
            mapped(output, given.append)
            try:
                return Bridge.apply(loss, output, targets, *given)
            except Exception:
                raise error from None

    return call


class Bridge(torch.autograd.Function):
    """The value from jax, and its derivatives by the tensors of the output."""

    @staticmethod
    def forward(
        ctx: Any, loss: Loss, output: Any, targets: Any, *tensors: torch.Tensor
    ) -> torch.Tensor:
        own = mapped(targets, to_jax)

        def value_of(*arrays: Any) -> Any:
            turn = iter(arrays)
            return loss(mapped(output, lambda _: next(turn)), own)

        value, ctx.pull = jax.vjp(value_of, *map(to_jax, tensors))
        return torch.tensor(np.asarray(value))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        found = ctx.pull(to_jax(grad))
        return None, None, None, *(torch.tensor(np.asarray(array)) for array in found)


def to_jax(tensor: torch.Tensor) -> Any:
    return jax.numpy.asarray(tensor.detach().cpu().numpy())
