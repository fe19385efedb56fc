"""A flax.nnx module as named arrays and a pure function of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
from flax import nnx

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.jax.model import JaxModel, is_array
from spa_kernel.frontends.jax.nnx_sizes import sizes

FLAGS = ("use_running_average", "deterministic", "decode")
"""Attributes by which nnx modules are in train or eval mode."""


class NnxModel(JaxModel):
    """The variables of a module, by path; their content is replaced in place.

    Parameters
    ----------
    model : flax.nnx.Module
    """

    model: nnx.Module

    def __init__(self, model: nnx.Module) -> None:
        self.model, self.title = model, type(model).__name__
        self.variables = {
            ".".join(map(str, path)): node
            for path, node in nnx.iter_graph(model)
            if isinstance(node, nnx.Variable) and is_array(node.get_raw_value())
        }
        self._checked()

    def is_parameter(self, name: str) -> bool:
        return isinstance(self.variables[name], nnx.Param)

    def modules(self) -> Iterator[tuple[str, nnx.Module]]:
        """Every module by path, the outermost with the path ``""``."""
        for path, node in nnx.iter_graph(self.model):
            if isinstance(node, nnx.Module):
                yield ".".join(map(str, path)), node

    def forward(self) -> Callable[[dict[str, Any], tuple[Any, ...], dict[str, Any]], Any]:
        graphdef, state = nnx.split(self.model)
        leaves, tree = jax.tree.flatten(state)
        paths = [".".join(map(str, path)) for path, _ in nnx.to_flat_state(state)]
        if len(paths) != len(leaves):
            raise CaptureError(
                f"{self.title} has variables that hold several arrays, which are "
                "not read yet: keep one array in each"
            )

        def call(arrays: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            content = [arrays.get(p, leaf) for p, leaf in zip(paths, leaves, strict=True)]
            module: Any = nnx.merge(graphdef, jax.tree.unflatten(tree, content))
            module.eval()
            return module(*args, **kwargs)

        return call

    def copy(self) -> Self:
        return type(self)(nnx.merge(*nnx.split(self.model)))

    def replaced(self, now: JaxModel) -> list[str]:
        held = self.variables
        return [name for name, v in now.variables.items() if held.get(name) is not v]

    def sizes(self, groups: dict[str, int]) -> Iterator[tuple[Any, str, Any]]:
        for path, module in self.modules():
            for name, true in sizes(module, groups.get(path)):
                if name in vars(module):
                    yield module, name, true

    def flags(self) -> list[tuple[Any, str, Any]]:
        return [
            (module, flag, getattr(module, flag))
            for _, module in self.modules()
            for flag in FLAGS
            if flag in vars(module)
        ]
