"""Example inputs of a Keras model: from what the person passed, else drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.examples import array_or_shape, is_shape
from spa_kernel.frontends.keras.capture import calls, functional

Given = list[np.ndarray | tuple[int, ...] | None]
"""An array or a shape for each input; ``None`` where nothing was passed."""


def given_inputs(model: Any, inputs: Any) -> Given:
    """What the person passed, in the order of the model's inputs.

    Parameters
    ----------
    model : keras.Model
    inputs : None, shape, array, sequence of these, or dict of these by input name
    """
    names = [tensor.name for tensor in functional(model)._inputs]
    if inputs is None:
        return [None] * len(names)
    if isinstance(inputs, Mapping):
        unknown = [name for name in inputs if name not in names]
        if unknown:
            raise CaptureError(f"the model has no input {unknown[0]!r}; its inputs are {names}")
        found = [inputs.get(name) for name in names]
    else:
        several = isinstance(inputs, Sequence) and not is_shape(inputs)
        found = list(inputs) if several else [inputs]
        if len(found) != len(names):
            raise CaptureError(f"{len(found)} inputs were passed, the model has {names}")
    return [
        None if value is None else array_or_shape(name, value)
        for name, value in zip(names, found, strict=True)
    ]


def feeds(model: Any, given: Given) -> list[np.ndarray]:
    """An array for each input; what was not passed is drawn, always the same.

    Raises
    ------
    CaptureError
        A size is not known, or differs from what the model says.
    """
    rng, outer = np.random.default_rng(0), functional(model)
    drawn = []
    for tensor, value in zip(outer._inputs, given, strict=True):
        shape = tuple(tensor.shape)
        if value is None:
            value = tuple(n if n is not None or at else 1 for at, n in enumerate(shape))
            if None in value:
                example = tuple(n or 8 for n in value)
                raise CaptureError(
                    f"input {tensor.name!r} has unknown axes {shape}: pass a shape, for example "
                    f"{example}"
                )
        sizes = value.shape if isinstance(value, np.ndarray) else value
        fits = all(a is None or a == b for a, b in zip(shape, sizes, strict=False))
        if len(shape) != len(sizes) or not fits:
            raise CaptureError(f"input {tensor.name!r} must have the shape {shape}, not {sizes}")
        if not isinstance(value, np.ndarray):
            value = draw(tensor, sizes, outer, rng)
        drawn.append(value)
    return drawn


def draw(tensor: Any, shape: tuple[int, ...], model: Any, rng: np.random.Generator) -> np.ndarray:
    """Numbers for an input: whole ones where a table is looked up, else around zero."""
    tables = [
        node.operation.input_dim
        for node in calls(model)
        if isinstance(node.operation, keras.layers.Embedding)
        and any(t is tensor for t in node.input_tensors)
    ]
    if tables:
        return rng.integers(0, min(tables), shape)
    if np.dtype(tensor.dtype).kind in "iub":
        return np.zeros(shape, tensor.dtype)
    return rng.standard_normal(shape).astype(np.float32)
