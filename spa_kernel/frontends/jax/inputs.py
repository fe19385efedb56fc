"""Example inputs: arrays, or shapes to draw them for."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from spa_kernel.errors import CaptureError

Inputs = tuple[tuple[Any, ...], dict[str, Any]]


def normalise_inputs(inputs: Any) -> Inputs:
    """Positional and named arguments from what `spa_kernel.analyze` takes.

    Parameters
    ----------
    inputs : array, shape, tuple or list of these, or dict of these by argument name
        A shape stands for float32 numbers from a normal distribution.

    Raises
    ------
    CaptureError
    """
    if inputs is None:
        raise CaptureError(
            "a flax.nnx module does not say what its inputs look like: pass inputs=, an array or "
            "a shape such as (1, 32, 32, 3)"
        )
    rng = np.random.default_rng(0)
    if isinstance(inputs, dict):
        return (), {str(name): example(item, rng) for name, item in inputs.items()}
    if is_shape(inputs) or not isinstance(inputs, tuple | list):
        return (example(inputs, rng),), {}
    return tuple(example(item, rng) for item in inputs), {}


def is_shape(item: Any) -> bool:
    """Whether something is a sequence of whole numbers."""
    return isinstance(item, tuple | list) and all(type(n) is int for n in item) and len(item) > 0


def example(item: Any, rng: np.random.Generator) -> Any:
    """An array as it is, or one of a shape."""
    if is_shape(item):
        return rng.standard_normal(item).astype(np.float32)
    if isinstance(item, jax.Array | np.ndarray):
        return item
    if isinstance(item, bool | int | float):
        return np.asarray(item)
    raise CaptureError(
        f"a {type(item).__name__} is not an input: pass arrays, or shapes such as (1, 32, 32, 3)"
    )
