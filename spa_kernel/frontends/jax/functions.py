"""Pure functions of their parameters, hand-written or from a library, as models."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import jax
from flax import linen as nn
from jax.tree_util import keystr

from spa_kernel.frontends.jax.linen_sizes import Path, fitted
from spa_kernel.frontends.jax.model import JaxModel, is_array


class Functional:
    """A pure function and the parameters that it is called with: ``apply(params, *inputs)``.

    A prune gives `params` another tree, with smaller arrays; the tree that was passed in is left
    as it is. It can be called, and taken apart: ``apply, params = session.model``.

    Parameters
    ----------
    function : callable
    params : tree of arrays

    Attributes
    ----------
    params : tree of arrays
        May be set, after training say, to a tree of the same structure and shapes.
    """

    def __init__(self, function: Callable[..., Any], params: Any) -> None:
        self.function, self.params = function, params
        self._widths: dict[Path, int] = {}

    @property
    def __name__(self) -> str:
        return getattr(self.function, "__name__", type(self.function).__name__)

    def apply(self, params: Any, *args: Any, **kwargs: Any) -> Any:
        """Call the function; Linen modules in it take the sizes of the parameters."""
        with nn.intercept_methods(partial(fitted, self._widths)):
            return self.function(params, *args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.apply(self.params, *args, **kwargs)

    def __iter__(self) -> Iterator[Any]:
        yield self.apply
        yield self.params

    def __repr__(self) -> str:
        shapes = [leaf.shape for leaf in jax.tree.leaves(self.params) if is_array(leaf)]
        return f"{type(self).__name__}({self.__name__}, {len(shapes)} arrays)"

    def copy(self) -> Functional:
        """Another one with the same arrays."""
        return Functional(self.function, self.params)


@dataclass(frozen=True)
class Leaf:
    """One array of the parameters, by its place among the leaves of the tree."""

    model: Functional
    place: int
    path: Any

    def get_raw_value(self) -> Any:
        return jax.tree.leaves(self.model.params)[self.place]

    def set_raw_value(self, value: Any) -> None:
        """Give the model a new tree; nobody else's is changed."""
        leaves, tree = jax.tree.flatten(self.model.params)
        leaves[self.place] = value
        self.model.params = jax.tree.unflatten(tree, leaves)


class FunctionModel(JaxModel):
    """The arrays in the parameters of a function, by path.

    Parameters
    ----------
    model : Functional
    """

    model: Functional
    variables: dict[str, Leaf]

    def __init__(self, model: Functional) -> None:
        self.model, self.title = model, model.__name__
        found = jax.tree.leaves_with_path(self.model.params)
        self._names = self.names([path for path, _ in found])
        self.variables = {
            name: Leaf(self.model, place, path)
            for place, (name, (path, leaf)) in enumerate(zip(self._names, found, strict=True))
            if is_array(leaf)
        }
        self._checked()

    def names(self, paths: list[Any]) -> list[str]:
        """Names such as ``layers.0.kernel``, or as they are written where these are not unique."""
        simple = [keystr(path, simple=True, separator=".") for path in paths]
        return simple if len(set(simple)) == len(simple) else [keystr(path) for path in paths]

    def arrays(self) -> dict[str, Any]:
        leaves = jax.tree.leaves(self.model.params)
        return {name: leaves[leaf.place] for name, leaf in self.variables.items()}

    def is_parameter(self, name: str) -> bool:
        dtype = self.variables[name].get_raw_value().dtype
        return bool(jax.numpy.issubdtype(dtype, jax.numpy.inexact))

    def forward(self) -> Callable[[dict[str, Any], tuple[Any, ...], dict[str, Any]], Any]:
        leaves, tree = jax.tree.flatten(self.model.params)
        names, apply = self._names, self.model.apply

        def call(arrays: dict[str, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            content = [arrays.get(n, leaf) for n, leaf in zip(names, leaves, strict=True)]
            return apply(jax.tree.unflatten(tree, content), *args, **kwargs)

        return call

    def copy(self) -> Self:
        return type(self)(self.model.copy())
