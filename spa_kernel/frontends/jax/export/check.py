"""Comparing what onnxruntime makes of a written model with the model's own outputs."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np
import onnx

from spa_kernel.errors import SpaError
from spa_kernel.frontends.jax.inputs import Inputs
from spa_kernel.frontends.jax.model import JaxModel
from spa_kernel.frontends.onnx.run import session

CLOSE = 1e-4
"""Largest difference allowed, relative to an output's standard deviation."""

ROUNDING = 32
"""How many roundings of an output's largest entry are allowed besides."""


def check(made: onnx.ModelProto, model: JaxModel, inputs: Inputs) -> None:
    """Compare the two on inputs.

    Raises
    ------
    SpaError
        They differ, or one of them does not run.
    """
    args, kwargs = inputs
    try:
        outputs = jax.jit(model.function())(model.arrays(), args, kwargs)
    except Exception as error:
        raise SpaError(
            f"{model.title} does not run on inputs of the shapes "
            f"{[np.shape(leaf) for leaf in jax.tree.leaves(inputs)]}, so what would be written as "
            f"ONNX cannot be compared with it: {error}"
        ) from error
    expected = [np.asarray(leaf) for leaf in jax.tree.leaves(outputs)]
    leaves = [np.asarray(jax.numpy.asarray(leaf)) for leaf in jax.tree.leaves(inputs)]
    try:
        run = session(made.SerializeToString(), 0)
        # An input that nothing reads may be left out.
        feeds = {i.name: a for i, a in zip(made.graph.input, leaves, strict=True)}
        found = run.run(None, feeds)
    except Exception as error:
        raise SpaError(
            f"onnxruntime does not run what was written of {model.title}: {error}"
        ) from error
    for info, a, b in zip(made.graph.output, expected, found, strict=True):
        compare(info.name, a, np.asarray(b))


def compare(name: str, expected: np.ndarray, found: np.ndarray) -> None:
    """Refuse an output that is another one."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        raise SpaError(
            f"{name} of the ONNX model is {found.dtype}{list(found.shape)}, not "
            f"{expected.dtype}{list(expected.shape)}: it is not written"
        )
    gap = difference(expected, found)
    if not gap <= 1:
        raise SpaError(
            f"{name} of the ONNX model differs by {gap:.2g} times what rounding may do, so it is "
            "not written"
        )


def difference(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference, in units of what is allowed."""
    if not expected.size or np.array_equal(expected, found, equal_nan=expected.dtype.kind == "f"):
        return 0.0
    if expected.dtype.kind not in "fV":
        return float("inf")
    a, b = expected.astype(np.float64), found.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not finite.any():
        return float("inf")
    largest = float(np.abs(a[finite]).max())
    step = float(jax.numpy.finfo(expected.dtype).eps)
    allowed = CLOSE * float(a[finite].std()) + ROUNDING * step * largest
    gap = float(np.abs(a - b)[finite].max())
    return gap / allowed if allowed else float("inf")


def batch_of(inputs: Inputs) -> tuple[int, ...]:
    """The size of the batch: of the first axis of the first input that has one."""
    return next((np.shape(x)[:1] for x in jax.tree.leaves(inputs) if np.ndim(x)), (-1,))


def others(inputs: Inputs, size: int = 5) -> Inputs:
    """Inputs of another batch: the same entries in another order."""
    rng, batch = np.random.default_rng(0), batch_of(inputs)
    size += batch == (size,)

    def drawn(leaf: Any) -> Any:
        array = np.asarray(leaf)
        if array.shape[:1] != batch:
            return leaf
        return np.resize(rng.permutation(array.ravel()), (size, *array.shape[1:]))

    made: Inputs = jax.tree.map(drawn, inputs)
    return made
