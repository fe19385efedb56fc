"""A flax.nnx module as named arrays and a pure function of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from flax import nnx

from spa_kernel.errors import CaptureError

FLAGS = ("use_running_average", "deterministic", "decode")
"""Attributes by which nnx modules are in train or eval mode."""


class NnxModel:
    """The tensors of a module, by path; they are replaced in place.

    Parameters
    ----------
    module : flax.nnx.Module

    Attributes
    ----------
    variables : dict of str to flax.nnx.Variable
        By path; one that several modules share is there once.
    """

    def __init__(self, module: nnx.Module) -> None:
        self.module = module
        self.variables: dict[str, Any] = {}
        for path, node in nnx.iter_graph(module):
            if isinstance(node, nnx.Variable) and is_array(node.get_raw_value()):
                name = ".".join(map(str, path))
                self.variables[name] = node
                if spread(node.get_raw_value()):
                    raise CaptureError(
                        f"{name} lies on several devices, and cannot be cut there: gather the "
                        "model on one device first"
                    )
        if not any(isinstance(v, nnx.Param) for v in self.variables.values()):
            raise CaptureError(
                f"{type(module).__name__} has no parameters, so nothing can be pruned"
            )

    def arrays(self) -> dict[str, Any]:
        """The present content of every tensor, random keys included."""
        return {name: v.get_raw_value() for name, v in self.variables.items()}

    def modules(self) -> Iterator[tuple[str, nnx.Module]]:
        """Every module by path, the outermost with the path ``""``."""
        for path, node in nnx.iter_graph(self.module):
            if isinstance(node, nnx.Module):
                yield ".".join(map(str, path)), node

    def function(self) -> Any:
        """``f(arrays, args, kwargs)``: the forward in eval mode; the module is left alone."""
        graphdef, state = nnx.split(self.module)
        leaves, tree = jax.tree.flatten(state)
        paths = [".".join(map(str, path)) for path, _ in nnx.to_flat_state(state)]
        if len(paths) != len(leaves):
            raise CaptureError(
                f"{type(self.module).__name__} has variables that hold several arrays, which are "
                "not read yet: keep one array in each"
            )

        def call(arrays: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            content = [arrays.get(p, leaf) for p, leaf in zip(paths, leaves, strict=True)]
            module: Any = nnx.merge(graphdef, jax.tree.unflatten(tree, content))
            module.eval()
            return module(*args, **kwargs)

        return call

    def flags(self) -> list[tuple[nnx.Module, str, Any]]:
        """Modules, and which of them is in train or eval mode."""
        return [
            (module, flag, getattr(module, flag))
            for _, module in self.modules()
            for flag in FLAGS
            if flag in vars(module)
        ]


def is_array(content: Any) -> bool:
    """Whether a variable holds a plain array."""
    return isinstance(content, jax.Array | np.ndarray)


def spread(content: Any) -> bool:
    """Whether an array lies on several devices."""
    return isinstance(content, jax.Array) and len(content.devices()) > 1


def is_numeric(array: Any) -> bool:
    """Whether an array holds numbers, and not random keys."""
    return not jax.numpy.issubdtype(array.dtype, jax.dtypes.extended)
