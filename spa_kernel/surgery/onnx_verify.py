"""Check a pruned ONNX model: structure, predicted shapes, and numbers."""

from __future__ import annotations

import numpy as np
import onnx

from spa_kernel.errors import SpaError, VerificationFailed
from spa_kernel.frontends.backend import Verification
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.run import Light, random_inputs
from spa_kernel.surgery.after import After
from spa_kernel.surgery.difference import difference

TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1}
"""By element type of the output; everything else must agree to `DEFAULT`."""
DEFAULT = 1e-3
NUDGE, FACTOR, LARGEST = 5e-7, 10, 2e-2
"""Rounding of inputs, and what may differ: times what that does to the output, and at most."""

SATURATING = frozenset("HardSigmoid Sigmoid Softmax Tanh".split())
"""Operators whose results are rounded in parts of one, however small they are."""


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
    worst, other = 0.0, None
    for at, (info, a, b) in enumerate(zip(model.graph.output, expected, found, strict=True)):
        error_here, most = difference(a, b), TOLERANCE.get(str(a.dtype), DEFAULT)
        if not error_here <= most:
            if other is None:
                other = original.run(nudged(feeds))
            # Some networks make much of the last digits of what they are fed.
            most = max(most, min(LARGEST, FACTOR * difference(a, other[at])))
        saturating = "" if error_here <= most else before_saturation(model, info.name)
        if saturating:
            error_here = difference(*(m.inside(feeds, saturating) for m in (original, pruned)))
        if not error_here <= most:
            raise VerificationFailed(
                f"output {info.name!r} of the pruned model differs from the masked original by "
                f"{error_here:.2g} of its standard deviation; the model is as it was before"
            )
        worst = max(worst, error_here)
    how = "structure, shapes, and outputs against the masked original on random inputs"
    if captured.given and all(isinstance(v, np.ndarray) for v in captured.given.values()):
        how = "structure, shapes, and outputs against the masked original on the example inputs"
    return Verification(True, worst, how)


def before_saturation(model: onnx.ModelProto, output: str) -> str:
    """What a last sigmoid, say, is taken of; empty where there is none.

    Where it is near its end, all that varies in the output may be rounding.
    """
    for node in model.graph.node:
        if output in node.output and node.domain in ("", "ai.onnx"):
            return node.input[0] if node.op_type in SATURATING else ""
    return ""


def nudged(feeds: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The same inputs but for a few last digits."""
    rng = np.random.default_rng(0)
    return {
        name: array * rng.choice([1 - NUDGE, 1 + NUDGE], array.shape).astype(array.dtype)
        if array.dtype == np.float32
        else array
        for name, array in feeds.items()
    }


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
