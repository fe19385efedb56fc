"""Primitives that reduce, order or add up axes."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.tensors import LONG, Tensor, constant

REDUCTIONS = {
    "reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd", "reduce_and": "ReduceMin", "reduce_or": "ReduceMax",
}  # fmt: skip


@primitive(*REDUCTIONS)
def reduction(call: Call) -> list[Tensor]:
    x, op = call.x(), REDUCTIONS[call.name]
    axes = tuple(int(a) for a in call.param("axes"))
    if not axes:
        return [x]
    truth = x.dtype == bool
    numbers = call.sheet.cast(x, np.int32) if truth else x
    operands = numbers, constant(axes, LONG)
    found = call.sheet.node(op, operands, call.out, made=(op, x, axes), keepdims=0)
    return [call.sheet.cast(found, bool) if truth else found]


@primitive("argmax", "argmin")
def arg(call: Call) -> list[Tensor]:
    (axis,) = call.param("axes")
    op = "ArgMax" if call.name == "argmax" else "ArgMin"
    x = call.x()
    x = call.sheet.cast(x, np.int32) if x.dtype == bool else x
    found = call.sheet.node(op, (x,), call.out, LONG, axis=int(axis), keepdims=0)
    return [call.sheet.cast(found, call.dtype)]


@primitive("cumsum")
def cumsum(call: Call) -> list[Tensor]:
    axis = constant(int(call.param("axis")), LONG)
    return call.node("CumSum", (call.x(), axis), reverse=int(bool(call.param("reverse"))))


@primitive("sort")
def sort(call: Call) -> list[Tensor] | None:
    """By the first operand, the others along with it; equal entries stay in order."""
    if int(call.param("num_keys")) != 1:
        return None
    axis = int(call.param("dimension"))
    x = call.x()
    values, places = top(call, x, int(x.shape[axis]), axis, largest=0)
    others = [call.x(i) for i in range(1, len(call.operands))]
    moved = [call.sheet.node("GatherElements", (t, places), t.shape, axis=axis) for t in others]
    return [values, *moved]


@primitive("top_k")
def top_k(call: Call) -> list[Tensor] | None:
    x = call.x()
    axis = call.param("axis")
    axis = x.ndim - 1 if axis is None else int(axis) % x.ndim
    values, places = top(call, x, int(call.param("k")), axis, largest=1)
    return [values, call.sheet.cast(places, call.eqn.outvars[1].aval.dtype)]


def top(call: Call, x: Tensor, k: int, axis: int, largest: int) -> list[Tensor]:
    shape = (*x.shape[:axis], k, *x.shape[axis + 1 :])
    outs = [Tensor(shape, x.dtype), Tensor(shape, LONG)]
    operands = x, constant([k], LONG)
    call.sheet.nodes("TopK", operands, outs, axis=axis, largest=largest, sorted=1)
    return outs
