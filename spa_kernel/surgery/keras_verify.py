"""Check a pruned Keras model: numbers against the masked original, and what was written in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.backend import Verification
from spa_kernel.frontends.keras.backend import run
from spa_kernel.frontends.keras.capture import Captured, functional, inference
from spa_kernel.frontends.keras.traced import Traced, stages
from spa_kernel.surgery.after import After
from spa_kernel.surgery.difference import difference
from spa_kernel.surgery.keras_copy import Copy, every_weight

TOLERANCE = 1e-4
"""In units of the output's standard deviation; Keras multiplies in float32 at most."""


def outputs(model: Any, feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What a model gives in inference."""
    with inference():
        found = run(model, [keras.ops.convert_to_tensor(feed) for feed in feeds])
        return [keras.ops.convert_to_numpy(output) for output in found]


def compare(
    captured: Captured, after: After, original: Copy, pruned: Copy, feeds: Sequence[np.ndarray]
) -> Verification:
    """Compare copies of the masked original and of the pruned model on the example inputs.

    Norms that lose entries only keep their scale and shift, on both sides.

    Raises
    ------
    VerificationFailed
    """
    norms = {id(own): own for own, out, axis in captured.norms if axis in after.losses(out)}
    for own in norms.values():
        for copy in (original, pruned):
            only_affine(copy.of(own))
    expected, found = outputs(original.model, feeds), outputs(pruned.model, feeds)
    if not all(np.isfinite(a).all() for a in expected if a.dtype.kind == "f"):
        return Verification(
            True, None, "structure and shapes; the model's outputs on these inputs are not finite"
        )
    worst = max(difference(a, b) for a, b in zip(expected, found, strict=True))
    if not worst <= TOLERANCE:
        raise VerificationFailed(
            f"the pruned model differs from the masked original by {worst:.2g} of the output's "
            "standard deviation; the model is as it was before"
        )
    how = "structure, shapes, and outputs against the masked original on the inputs"
    return Verification(True, worst, how)


def only_affine(norm: Any) -> None:
    """Leave out what a norm's layer does before it scales and shifts."""
    axis = norm.axis[0] if isinstance(norm.axis, list | tuple) else norm.axis
    scale = getattr(norm, "gamma", None)
    scale = (
        getattr(norm, "scale", None) if isinstance(norm, keras.layers.RMSNormalization) else scale
    )
    shift = getattr(norm, "beta", None)

    def call(x: Any, *_: Any, **__: Any) -> Any:
        shape = [1] * len(x.shape)
        shape[axis] = -1
        if scale is not None:
            x = x * keras.ops.reshape(scale, shape)
        return x if shift is None else x + keras.ops.reshape(shift, shape)

    norm.__dict__["call"] = call


def agree(model: Any, pruned: Copy, feeds: Sequence[np.ndarray]) -> None:
    """The model that was written to is what its own config says, with the weights of the copy.

    Raises
    ------
    VerificationFailed
    """
    weights = [keras.ops.convert_to_numpy(v) for v in every_weight(*stages(functional(model)))]
    for own, other in zip(weights, pruned.weights, strict=True):
        if not np.array_equal(own, keras.ops.convert_to_numpy(other), equal_nan=True):
            raise VerificationFailed(f"{other.path} was not cut as it should be")
    again = Copy(model, {}, None)
    again.fill(weights)
    for tensor, copy in again.tensors():
        if tensor.shape != copy.shape:
            raise VerificationFailed(
                f"{tensor.name} has the shape {tensor.shape}, where {copy.shape} is computed"
            )
    alike = "what a model of its config does"
    if isinstance(model, Traced):
        alike = "what its layers do, as something in its call depends on the sizes"
    try:
        found = outputs(model, feeds)
    except Exception as error:
        if not isinstance(model, Traced):
            raise
        raise VerificationFailed(
            f"the call of {model.source.name} does not follow ({error}); the model is as it was "
            "before"
        ) from error
    for a, b in zip(found, outputs(again.model, feeds), strict=True):
        if a.shape != b.shape or not difference(a, b) <= TOLERANCE:
            raise VerificationFailed(
                f"the pruned model does not compute {alike}; the model is as it was before"
            )
