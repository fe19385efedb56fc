"""A torch module is only handed out if it computes what the ONNX model does."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from spa_kernel.errors import CaptureError, SpaError, UnsupportedOperator
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import given_inputs
from spa_kernel.frontends.onnx.run import Light, random_inputs
from spa_kernel.frontends.onnx.twin.dtypes import to_array, to_tensor
from spa_kernel.frontends.onnx.twin.module import RebuiltInTorch

CLOSE = 1e-3
"""Largest difference in single precision, as a part of the outputs' largest number."""
ROUGH = 3e-2
"""The same in half precision."""


def twin_of(model: Any, inputs: Any = None) -> RebuiltInTorch:
    """An ONNX model as a torch module, checked on an example.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : shape, array, sequence of these, or dict of these by input name, optional
        Needed where the model does not state its input shapes.

    Raises
    ------
    UnsupportedOperator
        Torch has no like of one of its operators, or computes something else.
    """
    return checked(Captured(model, given_inputs(model, inputs)))


def checked(captured: Captured) -> RebuiltInTorch:
    """The module for a model that has been read."""
    twin, feeds = RebuiltInTorch(captured), example(captured)
    try:
        expected = Light.of(captured.model).run(feeds)
    except Exception as error:
        raise CaptureError(f"the model does not run on its example input: {error}") from error
    twin.example = tuple(to_tensor(array) for array in feeds.values())
    try:
        with torch.no_grad():
            found = twin(*twin.example)
    except SpaError:
        raise
    except Exception as error:
        raise UnsupportedOperator(f"the model does not run in torch: {error}") from error
    found = found if isinstance(found, tuple) else (found,)
    for name, mine, other in zip(twin.outputs, found, expected, strict=True):
        if not alike(to_array(mine), other):
            raise UnsupportedOperator(
                f"torch computes something else for the output {name!r} than the ONNX model does"
            )
    return twin


def example(captured: Captured) -> dict[str, np.ndarray]:
    """The inputs that a model was analysed with, or random ones, in order."""
    feeds = random_inputs(captured.model, captured.shapes, captured.given)
    return {value.name: feeds[value.name] for value in captured.graph.inputs}


def alike(mine: np.ndarray, other: np.ndarray) -> bool:
    """Whether two outputs are the same but for rounding."""
    if mine.shape != other.shape or mine.dtype != other.dtype:
        return False
    if mine.dtype.kind in "iub":
        return np.array_equal(mine, other)
    close = CLOSE if mine.dtype.itemsize > 2 else ROUGH
    a, b = mine.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(b)
    if not np.array_equal(finite, np.isfinite(a)):
        return False
    if not finite.any():
        return True
    scale = max(float(np.abs(b[finite]).max()), 1e-30)
    return bool(np.abs(a - b)[finite].max() <= close * scale)
