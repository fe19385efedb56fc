"""Which adapter reads a model in JAX."""

from __future__ import annotations

from typing import Any

from flax import linen, nnx

from spa_kernel.frontends.jax.functions import Functional, FunctionModel
from spa_kernel.frontends.jax.linen import Linen, LinenModel
from spa_kernel.frontends.jax.model import JaxModel
from spa_kernel.frontends.jax.nnx_model import NnxModel


def adapter(model: Any) -> JaxModel:
    """The tensors and the forward of a model.

    Parameters
    ----------
    model : flax.nnx.Module, Functional, or tuple of a function or Linen module and parameters

    Raises
    ------
    CaptureError
    """
    if isinstance(model, nnx.Module):
        return NnxModel(model)
    if not isinstance(model, Functional):
        function, params = model
        module = getattr(function, "__self__", function)
        whole = isinstance(module, linen.Module) and function in (module, module.apply)
        model = Linen(module, params) if whole else Functional(function, params)
    return LinenModel(model) if isinstance(model, Linen) else FunctionModel(model)
