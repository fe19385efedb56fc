"""Check a pruned ONNX model: structure, predicted shapes, and numbers."""

from __future__ import annotations

import numpy as np
import onnx

from spa_kernel.errors import SpaError, VerificationFailed
from spa_kernel.frontends.backend import Verification
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.rewrites import After
from spa_kernel.frontends.onnx.run import Light, random_inputs

TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1}
"""By element type of the output; everything else must agree to `DEFAULT`."""
DEFAULT = 1e-3


def verify(
    model: onnx.ModelProto, original: Light, captured: Captured, after: After
) -> Verification:
    """Compare a pruned model with the masked original.

    Parameters
    ----------
    model : onnx.ModelProto
        Pruned.
    original : Light
        Masked, see `spa_kernel.surgery.onnx_mask`.
    captured : Captured
        Of the original.

    Raises
    ------
    VerificationFailed
    """
    pruned = Light.of(model)
    check_structure(pruned, original)
    check_shapes(model, captured, after)
    feeds = random_inputs(model, captured.shapes, captured.given)
    try:
        expected = original.run(feeds)
    except Exception as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if not foreign(model) and not type(error).__name__.startswith("NotImplemented"):
            raise VerificationFailed(
                f"the model does not run, not even before the prune: {reason}"
            ) from error
        # A model that no runtime here can run (foreign operators) can still be pruned.
        return Verification(True, None, f"structure and shapes; it cannot be run here: {reason}")
    try:
        found = pruned.run(feeds)
    except Exception as error:
        raise VerificationFailed(f"the pruned model does not run: {error}") from error
    if not all(np.isfinite(a).all() for a in expected if a.dtype.kind == "f"):
        return Verification(
            True, None, "structure and shapes; the model's outputs on these inputs are not finite"
        )
    worst = 0.0
    for info, a, b in zip(model.graph.output, expected, found, strict=True):
        error_here = difference(a, b)
        worst = max(worst, error_here)
        if not error_here <= TOLERANCE.get(str(a.dtype), DEFAULT):
            raise VerificationFailed(
                f"output {info.name!r} of the pruned model differs from the masked original by "
                f"{error_here:.2g} of its standard deviation; the model is as it was before"
            )
    how = "structure, shapes, and outputs against the masked original on random inputs"
    if captured.given and all(isinstance(v, np.ndarray) for v in captured.given.values()):
        how = "structure, shapes, and outputs against the masked original on the example inputs"
    return Verification(True, worst, how)


def foreign(model: onnx.ModelProto) -> bool:
    """Whether some operators are not among those of ONNX itself."""
    own = {(f.domain, f.name) for f in model.functions}
    return any(
        node.domain not in ("", "ai.onnx") and (node.domain, node.op_type) not in own
        for node in model.graph.node
    )


def check_structure(pruned: Light, original: Light) -> None:
    """The checker accepts the pruned model (or did not accept the original either)."""
    try:
        onnx.checker.check_model(pruned.model)
    except onnx.checker.ValidationError as error:
        try:
            onnx.checker.check_model(original.model)
        except onnx.checker.ValidationError:
            return
        raise VerificationFailed(f"the pruned model is not valid ONNX: {error}") from error


def check_shapes(model: onnx.ModelProto, captured: Captured, after: After) -> None:
    """Every value has the shape that the coupling predicts."""
    try:
        pruned = Captured(model, captured.given)
    except SpaError as error:
        raise VerificationFailed(f"the pruned model cannot be read any more: {error}") from error
    for name, value in captured.values.items():
        new = pruned.values.get(name)
        if new is not None and value.kind != "constant" and new.shape != after.shape(value):
            raise VerificationFailed(
                f"{name!r} has the shape {new.shape} in the pruned model, where "
                f"{after.shape(value)} was predicted; the model is as it was before"
            )


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """Largest difference, relative to the standard deviation of what is expected."""
    if expected.shape != found.shape:
        return float("inf")
    if expected.dtype.kind in "iubOSU":
        return float(np.mean(expected != found)) if expected.size else 0.0
    a, b = expected.astype(np.float64), found.astype(np.float64)
    worst = float(np.max(np.abs(a - b), initial=0.0))
    scale = float(a.std()) or float(np.abs(a).max(initial=0.0)) or 1.0
    return worst / scale
