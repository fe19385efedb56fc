"""Example inputs: arrays, shapes to draw them for, and switches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from spa_kernel.errors import CaptureError

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


@jax.tree_util.register_static
@dataclass(frozen=True)
class Switch:
    """An argument that decides what is computed, such as ``train=False``, and is no array."""

    on: bool


def normalise_inputs(inputs: Any) -> Inputs:
    """Positional and named arguments from what `spa_kernel.analyze` takes.

    Parameters
    ----------
    inputs : array, shape, tuple or list of these, or dict of these by argument name
        A shape stands for float32 numbers from a normal distribution. A tuple may end in a dict
        of arguments by name.

    Raises
    ------
    CaptureError
    """
    if inputs is None:
        raise CaptureError(
            "a model in JAX does not say what its inputs look like: pass inputs=, an array or "
            "a shape such as (1, 32, 32, 3)"
        )
    rng = np.random.default_rng(0)
    if isinstance(inputs, dict):
        return (), named(inputs, rng)
    if is_shape(inputs) or not isinstance(inputs, tuple | list):
        return (example(inputs, rng),), {}
    *first, last = inputs or [None]
    if isinstance(last, dict):
        # Also all positional arguments in one tuple: ((x, y), {"train": False}).
        if len(first) == 1 and isinstance(first[0], tuple | list) and not is_shape(first[0]):
            first = [*first[0]]
        return tuple(example(item, rng) for item in first), named(last, rng)
    return tuple(example(item, rng) for item in inputs), {}


def named(inputs: dict[Any, Any], rng: np.random.Generator) -> dict[str, Any]:
    return {str(name): example(item, rng) for name, item in inputs.items()}


def is_shape(item: Any) -> bool:
    """Whether something is a sequence of whole numbers."""
    return isinstance(item, tuple | list) and all(type(n) is int for n in item) and len(item) > 0


def example(item: Any, rng: np.random.Generator) -> Any:
    """An array as it is, or one of a shape; a switch."""
    if is_shape(item):
        return rng.standard_normal(item).astype(np.float32)
    if isinstance(item, jax.Array | np.ndarray | Switch):
        return item
    if isinstance(item, bool):
        return Switch(item)
    if isinstance(item, int | float):
        return np.asarray(item)
    raise CaptureError(
        f"a {type(item).__name__} is not an input: pass arrays, or shapes such as (1, 32, 32, 3)"
    )


def opened(inputs: Inputs) -> Inputs:
    """Arguments as the model takes them."""
    args, kwargs = inputs

    def plain(item: Any) -> Any:
        return item.on if isinstance(item, Switch) else item

    return tuple(map(plain, args)), {name: plain(item) for name, item in kwargs.items()}
