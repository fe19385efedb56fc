"""Flax Linen modules with their variables, as models."""

from __future__ import annotations

from typing import Any

from flax import linen as nn
from jax.tree_util import GetAttrKey, keystr

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.jax.functions import Functional, FunctionModel
from spa_kernel.frontends.jax.linen_sizes import widths


class Linen(Functional):
    """A Linen module and its variables; `apply` takes all that ``module.apply`` takes.

    The module is left as it is, with the sizes that are written in it; while `apply` runs, its
    layers take the sizes of the variables that they are given.

    Parameters
    ----------
    module : flax.linen.Module
    params : mapping
        As ``module.init`` returns them: ``{"params": ..., "batch_stats": ...}``.

    Attributes
    ----------
    module : flax.linen.Module
    """

    def __init__(self, module: nn.Module, params: Any) -> None:
        if not hasattr(params, "keys") or "params" not in params:
            raise CaptureError(
                f"{type(module).__name__} needs its variables as module.init returns them: pass "
                '(module, {"params": params, ...})'
            )
        super().__init__(module.apply, params)
        self.module = module
        self._widths = widths(params["params"])

    @property
    def __name__(self) -> str:
        return type(self.module).__name__

    def copy(self) -> Linen:
        other = Linen(self.module, self.params)
        other._widths = self._widths
        return other


class LinenModel(FunctionModel):
    """The variables of a module, by path, those of all collections together.

    Parameters
    ----------
    model : Linen
    """

    model: Linen

    def names(self, paths: list[Any]) -> list[str]:
        """Paths of modules; the collection is part of a name only where two are alike."""
        # Sharding is told in boxes around arrays.
        inside = [tuple(p for p in path[1:] if not isinstance(p, GetAttrKey)) for path in paths]
        unique = len(set(inside)) == len(inside)
        return super().names(inside if unique else paths)

    def is_parameter(self, name: str) -> bool:
        collection = keystr(self.variables[name].path[:1], simple=True)
        return collection == "params" and super().is_parameter(name)
