"""Sums of products."""

from __future__ import annotations

from typing import Any

import numpy as np

from spa_kernel.frontends.jax.contraction import equation
from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.shapes import flipped, padded
from spa_kernel.frontends.jax.export.sizes import Bound
from spa_kernel.frontends.jax.export.tensors import Tensor, constant


@primitive("dot_general")
def dot_general(call: Call) -> list[Tensor]:
    dtype = call.dtype
    a, b = (call.sheet.cast(call.x(i), dtype) for i in (0, 1))
    numbers = [[list(map(int, axes)) for axes in pair] for pair in call.param("dimension_numbers")]
    (mine, other), (batch_a, batch_b) = numbers
    k = len(batch_a)
    leading = batch_a == batch_b == list(range(k))
    # Each batch axis goes with its own one, as MatMul has it.
    free = a.ndim - k - 1 == 1 if k else a.ndim > 1
    if leading and mine == [a.ndim - 1] and other == [k] and b.ndim == k + 2 and free:
        return call.node("MatMul", (a, b))
    return call.node("Einsum", (a, b), equation=equation(numbers, (a.ndim, b.ndim)))


@primitive("conv_general_dilated")
def conv(call: Call) -> list[Tensor] | None:
    numbers, groups = call.eqn.params["dimension_numbers"], int(call.param("feature_group_count"))
    if numbers != call.twin.params["dimension_numbers"]:
        raise Bound("a convolution along other axes")
    if int(call.param("batch_group_count")) != 1 or len(numbers.lhs_spec) < 3:
        return None
    sheet, dtype = call.sheet, call.dtype
    x, kernel = (sheet.cast(call.x(i), dtype) for i in (0, 1))
    x = sheet.transpose(x, numbers.lhs_spec)
    shape = tuple(call.out[i] for i in numbers.out_spec)
    strides, inside, dilations = (
        [int(n) for n in call.param(key)]
        for key in ("window_strides", "lhs_dilation", "rhs_dilation")
    )
    pads = [(int(low), int(high)) for low, high in call.param("padding")]
    spatial = [int(kernel.shape[i]) for i in numbers.rhs_spec[2:]]
    attrs: dict[str, Any] = {"kernel_shape": spatial, "dilations": dilations, "group": groups}
    reach = [d * (n - 1) for d, n in zip(dilations, spatial, strict=True)]
    outer = [(r - low, r - high) for r, (low, high) in zip(reach, pads, strict=True)]
    back = any(n > 1 for n in inside) and all(n == 1 for n in strides) and groups == 1
    if back and all(min(pair) >= 0 for pair in outer):
        # What comes in is spread: a convolution seen from its other side.
        first, second, *places = numbers.rhs_spec
        for axis in places:
            kernel = flipped(sheet, kernel, axis)
        kernel = sheet.transpose(kernel, (second, first, *places))
        out = sheet.node("ConvTranspose", (x, kernel), shape, strides=inside,
                         pads=in_order(outer), **attrs)  # fmt: skip
        return [sheet.transpose(out, np.argsort(numbers.out_spec))]
    if any(n > 1 for n in inside) or any(min(pair) < 0 for pair in pads):
        config = [(0, 0, 0), (0, 0, 0)]
        config += [(low, high, n - 1) for (low, high), n in zip(pads, inside, strict=True)]
        x = padded(call, x, config, constant(0, x.dtype))
        pads = [(0, 0)] * len(pads)
    kernel = sheet.transpose(kernel, numbers.rhs_spec)
    attrs |= {"strides": strides, "pads": in_order(pads)}
    out = sheet.node("Conv", (x, kernel), shape, made=("Conv", x, kernel, attrs), **attrs)
    return [sheet.transpose(out, np.argsort(numbers.out_spec))]


def in_order(pads: list[tuple[int, int]]) -> list[int]:
    """First what comes in front of each axis, then what comes behind."""
    return [low for low, _ in pads] + [high for _, high in pads]
