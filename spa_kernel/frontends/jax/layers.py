"""Primitives that sum products, pool, or reduce an axis."""

from __future__ import annotations

from typing import Any

import numpy as np

from spa_kernel.frontends.jax.contraction import equation
from spa_kernel.frontends.jax.convert import Call, primitive
from spa_kernel.graph.ir import Value

REDUCTIONS = {
    "reduce_sum": "ReduceSum", "reduce_max": "ReduceMax", "reduce_min": "ReduceMin",
    "reduce_prod": "ReduceProd", "reduce_and": "ReduceAll", "reduce_or": "ReduceAny",
}  # fmt: skip


@primitive("dot_general")
def dot_general(call: Call) -> Any:
    a, b = call.value(0), call.value(1)
    written = equation(call.params["dimension_numbers"], (a.ndim, b.ndim))
    return call.emit("Einsum", (a, b), equation=written)


@primitive("conv_general_dilated")
def conv(call: Call) -> Any:
    params = call.params
    numbers, groups = params["dimension_numbers"], int(params["feature_group_count"])
    if params["batch_group_count"] != 1:
        return None
    call.emit("KernelAxes", (call.value(1),), (), axes=numbers.rhs_spec[2:])
    x = call.moved(call.value(0), numbers.lhs_spec)
    weight = call.moved(call.value(1), numbers.rhs_spec)
    attrs: dict[str, Any] = {"group": groups}
    if groups > 1:
        attrs["groups"] = Value("groups of a convolution", (groups,), "virtual", "int64")
    (final,) = call.outs()
    out = call.one("Conv", (x, weight, None), (final.shape[i] for i in numbers.out_spec), **attrs)
    return [call.moved(out, np.argsort(numbers.out_spec))]


@primitive("reduce_window_max", "reduce_window_sum")
def pool(call: Call) -> Any:
    """Windows over some axes; the others go through."""
    x, params = call.value(0), call.params
    (final,) = call.outs()
    whole = [
        axis
        for axis in range(x.ndim)
        if params["window_dimensions"][axis] == 1
        and params["window_strides"][axis] == 1
        and tuple(params["padding"][axis]) == (0, 0)
        and params["base_dilation"][axis] == 1
    ]
    if len(whole) < 2:
        return None
    order = whole + [axis for axis in range(x.ndim) if axis not in whole]
    op = "MaxPool" if call.name == "reduce_window_max" else "AveragePool"
    shape = (final.shape[axis] for axis in order)
    out = call.one(op, (call.moved(x, order),), shape, spatial=x.ndim - len(whole))
    return [call.moved(out, np.argsort(order))]


@primitive(*REDUCTIONS)
def reduction(call: Call) -> Any:
    axes = tuple(int(a) for a in call.params["axes"])
    return call.emit(REDUCTIONS[call.name], (call.value(0),), axes=axes, keepdims=False)


@primitive("argmax", "argmin")
def arg(call: Call) -> Any:
    axes = tuple(int(a) for a in call.params["axes"])
    op = "ArgMax" if call.name == "argmax" else "ArgMin"
    return call.emit(op, (call.value(0),), axes=axes, keepdims=False)


@primitive("cumsum")
def cumsum(call: Call) -> Any:
    return call.emit("CumSum", (call.value(0),), axis=int(call.params["axis"]))
