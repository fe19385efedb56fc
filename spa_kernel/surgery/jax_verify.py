"""Compare a pruned model in JAX with the masked original."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.backend import Verification
from spa_kernel.frontends.jax.inputs import Inputs
from spa_kernel.frontends.jax.marks import without_norms
from spa_kernel.frontends.jax.model import JaxModel, is_numeric

EXACT = 1e-6
"""Largest allowed difference in float64, relative to the output's standard deviation."""

ROUGH = 1e-3
"""The same where a part of the model computes in another precision whatever it is given."""

LOW = ("float32", "float16", "bfloat16")


def run(model: JaxModel, arrays: dict[str, Any], inputs: Inputs) -> tuple[list[Any], bool]:
    """Outputs in float64 with norms taken out, and whether all was computed in float64."""
    with jax.enable_x64(True), without_norms():
        given = jax.tree.map(double, (arrays, *inputs))
        traced = jax.jit(model.function()).trace(*given)
        return numbers(traced.lower().compile()(*given)), not lower(traced.jaxpr)


def run_as_is(model: JaxModel, arrays: dict[str, Any], inputs: Inputs) -> tuple[list[Any], bool]:
    """The same in the model's own precision."""
    with without_norms():
        held = {name: arrays[name].astype(old.dtype) if is_numeric(old) else old
                for name, old in model.arrays().items()}  # fmt: skip
        return numbers(jax.jit(model.function())(held, *inputs)), False


def numbers(outputs: Any) -> list[np.ndarray]:
    """All tensors of a result but random keys."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves(outputs) if is_numeric(leaf)]


def double(array: Any) -> Any:
    """In float64, where it is of lower precision."""
    if is_numeric(array) and str(array.dtype) in LOW:
        return jnp.asarray(np.asarray(array).astype(np.float64))
    return jnp.asarray(array)


def lower(closed: Any) -> bool:
    """Whether anything in a jaxpr, those that it calls included, is of lower precision."""
    jaxpr = getattr(closed, "jaxpr", closed)
    for eqn in jaxpr.eqns:
        if any(str(getattr(v.aval, "dtype", "")) in LOW for v in eqn.outvars):
            return True
        if any(lower(inner) for inner in jax.extend.core.jaxprs_in_params(eqn.params)):
            return True
    return False


def agreement(
    expected: list[np.ndarray], first: bool, found: list[np.ndarray], second: bool
) -> Verification:
    """Accept the pruned model, or raise `VerificationFailed`."""
    exact = first and second
    worst, compared = 0.0, False
    for a, b in zip(expected, found, strict=True):
        if a.shape != b.shape:
            raise VerificationFailed(f"the pruned model makes {b.shape} instead of {a.shape}")
        x, y = a.astype(np.float64), b.astype(np.float64)
        finite = np.isfinite(x)
        if finite.any():
            compared = True
            scale = float(x[finite].std()) or float(np.abs(x[finite]).max()) or 1.0
            gap = float(np.abs(x - y)[finite].max()) / scale
            worst = max(worst, gap) if gap == gap else float("inf")
    if not compared:
        how = "operators and shapes, call by call (outputs are empty or overflow without norms)"
        return Verification(True, None, how)
    if worst > (EXACT if exact else ROUGH):
        raise VerificationFailed(
            f"the pruned model differs from the masked original by {worst:.2g} of the output's "
            "standard deviation; the model was put back as it was"
        )
    precision = "in float64" if exact else "in the model's own precision"
    return Verification(True, worst, f"against the masked original {precision}, norms taken out")
