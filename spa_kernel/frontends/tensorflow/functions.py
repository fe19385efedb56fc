"""The function that a model of TensorFlow computes, traced."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.examples import array_or_shape, is_shape

SIGNATURE = "serving_default"
"""What is taken of several signatures."""


def function_of(model: Any, inputs: Any) -> Any:
    """A concrete function: of a loaded model's signature, or of a module's call.

    Parameters
    ----------
    model : tf.Module, or what tf.saved_model.load returns
        It must be kept for as long as the function is used.
    inputs : shape, array, sequence of these, or dict of these by name, optional
        Needed where the model does not say what goes in.

    Raises
    ------
    CaptureError
    """
    signatures = getattr(model, "signatures", None) or {}
    if signatures:
        if SIGNATURE not in signatures and len(signatures) > 1:
            raise CaptureError(
                f"the model has the signatures {sorted(signatures)}, and none is called "
                f"{SIGNATURE!r}: load it with tf.saved_model.load and pass a tf.Module that calls "
                "the one you mean"
            )
        return signatures.get(SIGNATURE) or next(iter(signatures.values()))
    if not callable(model):
        raise CaptureError(f"{type(model).__name__} has neither a signature nor __call__")
    return traced(model, inputs)


def loaded(folder: str | Path) -> Any:
    """The model in a SavedModel's folder.

    Raises
    ------
    CaptureError
    """
    try:
        return tf.saved_model.load(str(folder))
    except Exception as error:
        raise CaptureError(f"{folder} cannot be read as a SavedModel: {error}") from error


def traced(module: Any, inputs: Any) -> Any:
    """Trace a module's call, for any size of the first axis if it can be."""
    call = module.__call__
    stated = getattr(call, "input_signature", None)
    if stated is not None:
        return call.get_concrete_function()
    if inputs is None:
        raise CaptureError(
            f"{type(module).__name__} does not say what goes into it: pass an example, "
            "spa.analyze(module, x), or its shape"
        )
    names = list(inspect.signature(getattr(call, "python_function", call)).parameters)
    by_name = isinstance(inputs, Mapping)
    if by_name:
        given = {str(name): array_or_shape(str(name), value) for name, value in inputs.items()}
    else:
        several = isinstance(inputs, Sequence) and not is_shape(inputs)
        found = list(inputs) if several else [inputs]
        given = {
            names[at] if at < len(names) else f"input_{at}": array_or_shape(str(at), value)
            for at, value in enumerate(found)
        }

    def run(*tensors: Any) -> Any:
        return module(**dict(zip(given, tensors, strict=True))) if by_name else module(*tensors)

    try:
        return tf.function(run).get_concrete_function(*specs(given, free=True))
    except Exception:
        # It needs to know how many come at once.
        try:
            return tf.function(run).get_concrete_function(*specs(given, free=False))
        except Exception as error:
            raise CaptureError(
                f"{type(module).__name__} fails on the example input: {error}"
            ) from error


def specs(given: Mapping[str, Any], free: bool) -> list[Any]:
    """What goes in; ``free``: whether the size of the first axis is left open."""
    found = []
    for name, value in given.items():
        shape, dtype = value, tf.float32
        if isinstance(value, np.ndarray):
            shape, dtype = value.shape, tf.as_dtype(value.dtype)
        shape = (None, *shape[1:]) if free and shape else shape
        found.append(tf.TensorSpec(shape, dtype, name=name))
    return found
