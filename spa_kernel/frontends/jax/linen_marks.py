"""Norms of Flax Linen as one named call each, or without their statistics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from flax import linen as nn
from flax.core import meta

from spa_kernel.frontends.jax.marks import named_op, title

NORMS = (nn.BatchNorm, nn.LayerNorm, nn.RMSNorm)


@contextmanager
def linen_norms(change: Callable[..., Any]) -> Iterator[None]:
    """While it lasts, the norms of Linen are what `named` or `left_out` makes of them."""
    inside = False

    def intercept(call: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        nonlocal inside
        norm: Any = context.module
        # A subclass, such as those that transformations make, may compute something else.
        if inside or type(norm) not in NORMS or context.method_name != "__call__" or not args:
            return call(*args, **kwargs)
        variables = meta.unbox(norm.variables)
        own = {name for held in variables.values() for name in held}
        op = named_op(norm, nn, own, *args, **kwargs)
        if op is None:
            return call(*args, **kwargs)
        inside = True
        try:
            return change(call, norm, op, variables, *args, **kwargs)
        finally:
            inside = False

    with nn.intercept_methods(intercept):
        yield


def named(call: Any, norm: Any, op: str, variables: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
    """The norm as a call of its own in the jaxpr, of the input and of each of its tensors."""
    leaves, tree = jax.tree.flatten(variables)
    names = [path[-1].key for path, _ in jax.tree.leaves_with_path(variables)]
    alone = norm.clone(parent=None, name=None)

    def inner(x: Any, *leaves: Any) -> Any:
        return alone.apply(jax.tree.unflatten(tree, leaves), x, *args, **kwargs)

    inner.__name__ = title(op, x.ndim, names, norm.epsilon)
    return jax.jit(inner)(x, *leaves)


def left_out(
    call: Any, norm: Any, op: str, variables: Any, x: Any, *args: Any, **kwargs: Any
) -> Any:
    """The scale and shift of a norm without its statistics, which other channels change."""
    if op.startswith("Batch"):
        return call(x, *args, **kwargs)
    weights = variables["params"]
    x = x * weights.get("scale", 1)
    return x + weights.get("bias", 0)
