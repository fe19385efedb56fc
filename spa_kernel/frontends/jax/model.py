"""What a model in JAX is to the rest: named arrays, and a pure function of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, Self

import jax
import numpy as np

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.jax.inputs import opened


class Variable(Protocol):
    """A place that holds one array."""

    def get_raw_value(self) -> Any: ...

    def set_raw_value(self, value: Any) -> None: ...


class JaxModel(ABC):
    """The tensors of a model, by path; they can be replaced.

    Attributes
    ----------
    model : object
        What a person works with.
    title : str
        What to call it.
    variables : mapping of str to Variable
        By path; one that is there under several paths is there once.
    """

    model: Any
    title: str
    variables: Mapping[str, Variable]

    @abstractmethod
    def __init__(self, model: Any) -> None: ...

    @abstractmethod
    def forward(self) -> Callable[[dict[str, Any], tuple[Any, ...], dict[str, Any]], Any]:
        """``f(arrays, args, kwargs)``: the forward in eval mode; the model is left alone."""

    @abstractmethod
    def is_parameter(self, name: str) -> bool:
        """Whether a tensor is trained."""

    @abstractmethod
    def copy(self) -> Self:
        """A model of its own that holds the same arrays."""

    def function(self) -> Callable[[dict[str, Any], tuple[Any, ...], dict[str, Any]], Any]:
        """The forward, of inputs as `normalise_inputs` gives them."""
        forward = self.forward()
        return lambda arrays, args, kwargs: forward(arrays, *opened((args, kwargs)))

    def arrays(self) -> dict[str, Any]:
        """The present content of every tensor, random keys included."""
        return {name: v.get_raw_value() for name, v in self.variables.items()}

    def reread(self) -> Self:
        """The tensors that the model has now, which may be others."""
        return type(self)(self.model)

    def replaced(self, now: Self) -> list[str]:
        """Tensors that lie elsewhere than they did, in a model that was read anew."""
        return []

    def sizes(self, groups: dict[str, int]) -> Iterator[tuple[Any, str, Any]]:
        """Owners, names and true values of attributes that hold sizes of tensors.

        Parameters
        ----------
        groups : dict of str to int
            By path, how many groups each convolution has that has several.
        """
        yield from ()

    def flags(self) -> list[tuple[Any, str, Any]]:
        """Modules, and which of them is in train or eval mode."""
        return []

    def _checked(self) -> None:
        """Refuse what cannot be cut.

        Raises
        ------
        CaptureError
        """
        for name, array in self.arrays().items():
            if isinstance(array, jax.Array) and len(array.devices()) > 1:
                raise CaptureError(
                    f"{name} lies on several devices, and cannot be cut there: gather the "
                    "model on one device first"
                )
        if not any(map(self.is_parameter, self.variables)):
            raise CaptureError(f"{self.title} has no parameters, so nothing can be pruned")


def is_array(content: Any) -> bool:
    """Whether a variable holds a plain array."""
    return isinstance(content, jax.Array | np.ndarray)


def is_numeric(array: Any) -> bool:
    """Whether an array holds numbers, and not random keys."""
    return not jax.numpy.issubdtype(array.dtype, jax.dtypes.extended)
