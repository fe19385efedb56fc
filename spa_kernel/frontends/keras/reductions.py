"""Converters of operations along whole axes: sums, means, and shares of a sum."""

from __future__ import annotations

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer


@layer("ops.Mean", "ops.Sum", "ops.Max", "ops.Min")
def reduction(call: Call) -> list[Held]:
    own, x = call.layer, call.plain()
    if getattr(own, "initial", None) is not None:
        raise Opaque
    given = range(x.ndim) if own.axis is None else own.axis
    axes = tuple(sorted(axis % x.ndim for axis in given))
    op, keep = f"Reduce{type(own).__name__}", bool(own.keepdims)
    return call.made(call.emit(op, [x], call.shape, axes=axes, keepdims=keep))


@layer("Softmax", "ops.Softmax", "ops.LogSoftmax")
def softmax(call: Call) -> list[Held]:
    x, axis = call.plain(), call.layer.axis
    if not isinstance(axis, int):
        raise Opaque
    op = type(call.layer).__name__
    return call.made(call.emit(op, [x], call.shape, axis=axis % x.ndim))
