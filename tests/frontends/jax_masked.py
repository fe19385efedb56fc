"""What a JAX model computes with zeros where a plan removes something, worked out on its own."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np


def masked_params(session: Any, plan: Any) -> Any:
    """The parameters of a session's model, with zeros where the plan removes something."""
    coupling = session.analysis.coupling
    removed = plan.mask(coupling)
    leaves, tree = jax.tree.flatten(session.model.params)
    for name, variable in session.backend.named.variables.items():
        value, content = coupling.graph.stored[name], np.array(leaves[variable.place])
        for axis in range(content.ndim):
            gone = ~coupling.kept((value, axis), removed)
            content[(slice(None),) * axis + (gone,)] = 0
        leaves[variable.place] = content
    return jax.tree.unflatten(tree, leaves)


def differs(found: Any, expected: Any) -> float:
    """The largest difference, in standard deviations."""
    a, b = np.asarray(found), np.asarray(expected)
    assert a.shape == b.shape
    assert b.std() > 0
    return float(np.abs(a - b).max() / b.std())
