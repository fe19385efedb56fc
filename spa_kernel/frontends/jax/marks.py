"""Norms and attention as one named call each.

A jaxpr shows a norm as means, differences and roots. While a forward is traced, the layers
that flax brings are wrapped so that each is one named call, and can be told for certain.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import jax
from flax import nnx

MARK = "spa_norm"
ATTENTION = "spa_attention"
LOCK = RLock()
"""Classes are changed for a while: only one forward is traced at a time."""


def last_axis(norm: Any, x: Any) -> bool:
    """Whether statistics and weights of a layer norm are along the last axis only."""
    single = (norm.reduction_axes, norm.feature_axes)
    return all(axes in (-1, x.ndim - 1, (-1,), (x.ndim - 1,)) for axes in single)


def named_op(
    norm: Any, kinds: Any, weights: Container[str], x: Any, *args: Any, **kwargs: Any
) -> str | None:
    """The operator that a call of a norm is, and the axis of its channels.

    Parameters
    ----------
    norm : module
    kinds : module of Python
        `flax.nnx` or `flax.linen`, whichever the norm is from.
    weights : container of str
        Names of the tensors that it has.
    x, args, kwargs
        What it is called with.
    """
    if kwargs.get("mask") is not None or getattr(norm, "axis_name", None) is not None:
        return None
    if isinstance(norm, kinds.BatchNorm):
        given = args[0] if args else kwargs.get("use_running_average")
        running = norm.use_running_average if given is None else given
        if running is True and isinstance(norm.axis, int):
            return f"BatchNormalization {norm.axis % x.ndim}"
        return None
    if args or not ("scale" in weights or "bias" in weights) or not last_axis(norm, x):
        return None
    op = "LayerNormalization" if isinstance(norm, kinds.LayerNorm) else "RMSNormalization"
    return f"{op} {x.ndim - 1}"


def title(op: str, rank: int, names: Iterable[str], epsilon: float) -> str:
    """The name of a marked call, by which it is read."""
    return f"{MARK} {op} {rank} {','.join(names)} {epsilon}"


def untitled(name: str, rank: int) -> tuple[str, int, list[str], float] | None:
    """Operator, axis, names of tensors and epsilon of a marked call.

    ``None`` for another call, and where ``vmap`` gave the input more axes than the norm saw.
    """
    if not name.startswith(MARK):
        return None
    _, op, axis, seen, names, epsilon = name.split(" ")
    return (op, int(axis), names.split(","), float(epsilon)) if rank == int(seen) else None


def own(norm: Any) -> set[str]:
    """Names of the tensors that a norm of `flax.nnx` has."""
    return {name for name in ("scale", "bias") if getattr(norm, name, None) is not None}


def named(original: Callable[..., Any]) -> Callable[..., Any]:
    """The norm as a call of its own in the jaxpr, of the input and of each of its tensors."""

    def call(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        op = named_op(self, nnx, own(self), x, *args, **kwargs)
        if op is None:
            return original(self, x, *args, **kwargs)
        graphdef, state = nnx.split(self)
        leaves, tree = jax.tree.flatten(state)
        names = [str(path[0]) for path, _ in nnx.to_flat_state(state)]

        def inner(x: Any, *leaves: Any) -> Any:
            return original(
                nnx.merge(graphdef, jax.tree.unflatten(tree, leaves)), x, *args, **kwargs
            )

        inner.__name__ = title(op, x.ndim, names, self.epsilon)
        return jax.jit(inner)(x, *leaves)

    return call


def left_out(original: Callable[..., Any]) -> Callable[..., Any]:
    """The scale and shift of a norm without its statistics, which other channels change."""

    def call(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        op = named_op(self, nnx, own(self), x, *args, **kwargs)
        if op is None or op.startswith("Batch"):
            return original(self, x, *args, **kwargs)
        if self.scale is not None:
            x = x * self.scale[...]
        bias = getattr(self, "bias", None)
        return x if bias is None else x + bias[...]

    return call


def told(original: Callable[..., Any]) -> Callable[..., Any]:
    """An attention that wants its values as deep as its keys, which a jaxpr does not show."""

    def spa_attention(query: Any, value: Any) -> Any:
        return query, value

    def call(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        query, value = jax.jit(spa_attention)(query, value)
        return original(query, key, value, *args, **kwargs)

    return call


@contextmanager
def marked() -> Iterator[None]:
    """While it lasts, norms and attention are named calls."""
    from spa_kernel.frontends.jax import linen_marks

    with norms(named), linen_marks.linen_norms(linen_marks.named):
        original = jax.nn.dot_product_attention
        jax.nn.dot_product_attention = told(original)
        try:
            yield
        finally:
            jax.nn.dot_product_attention = original


@contextmanager
def without_norms() -> Iterator[None]:
    """While it lasts, norms over channels only scale and shift."""
    from spa_kernel.frontends.jax import linen_marks

    with norms(left_out), linen_marks.linen_norms(linen_marks.left_out):
        yield


@contextmanager
def norms(change: Callable[[Callable[..., Any]], Callable[..., Any]]) -> Iterator[None]:
    """While it lasts, the norms of `flax.nnx` are what `named` or `left_out` makes of them."""
    with LOCK:
        kinds: tuple[Any, ...] = (nnx.BatchNorm, nnx.LayerNorm, nnx.RMSNorm)
        originals = [kind.__call__ for kind in kinds]
        try:
            for kind, original in zip(kinds, originals, strict=True):
                kind.__call__ = change(original)
            yield
        finally:
            for kind, original in zip(kinds, originals, strict=True):
                kind.__call__ = original
