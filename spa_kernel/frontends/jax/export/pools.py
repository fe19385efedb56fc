"""Windows that slide over some axes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.layers import in_order
from spa_kernel.frontends.jax.export.shapes import padded
from spa_kernel.frontends.jax.export.sizes import Shape
from spa_kernel.frontends.jax.export.tensors import Tensor, constant


@primitive("reduce_window_max", "reduce_window_min", "reduce_window_sum")
def pool(call: Call) -> list[Tensor] | None:
    x, sheet = call.x(), call.sheet
    kinds = ("window_dimensions", "window_strides", "window_dilation", "base_dilation")
    window, strides, dilation, base = ([int(n) for n in call.param(key)] for key in kinds)
    pads = [(int(low), int(high)) for low, high in call.param("padding")]
    if not x.floats or any(n != 1 for n in base):
        return None
    kind = call.name.rpartition("_")[2]
    reach = [d * (n - 1) for d, n in zip(dilation, window, strict=True)]
    if any(low < 0 or high < 0 or max(low, high) > r for (low, high), r in zip(pads, reach,
           strict=True)):  # fmt: skip
        nothing = {"max": -np.inf, "min": np.inf, "sum": 0}[kind]
        config = [(low, high, 0) for low, high in pads]
        x, pads = padded(call, x, config, constant(nothing, x.dtype)), [(0, 0)] * x.ndim
    still = [i for i in range(x.ndim) if (window[i], strides[i], *pads[i]) == (1, 1, 0, 0)]
    moving = [i for i in range(x.ndim) if i not in still] or still[-1:]
    still = [i for i in still if i not in moving]
    # Samples and channels: further axes that stay are windows of one entry.
    moving = sorted([*moving, *still[2:]])
    if len(moving) > 3:
        return None
    order = [*still[:2], *moving]
    lone = max(2 - len(still), 0)
    final: Shape = (*(1,) * lone, *(call.out[i] for i in order))
    image = sheet.transpose(x, order)
    image = sheet.reshape(image, (*(1,) * lone, *image.shape))
    if kind == "min":
        image = sheet.node("Neg", (image,), image.shape)
    spatial = [window[i] for i in moving]
    attrs: dict[str, Any] = {
        "kernel_shape": spatial,
        "strides": [strides[i] for i in moving],
        "dilations": [dilation[i] for i in moving],
        "pads": in_order([pads[i] for i in moving]),
    }
    if kind == "sum":
        out = sheet.node("AveragePool", (image,), final, count_include_pad=1, **attrs)
    else:
        out = sheet.node("MaxPool", (image,), final, **attrs)
    if kind == "min":
        out = sheet.node("Neg", (out,), final)
    out = sheet.reshape(out, final[lone:])
    out = sheet.transpose(out, np.argsort(order))
    if kind != "sum":
        return [out]
    count = constant(prod(spatial), x.dtype)
    return [sheet.node("Mul", (out, count), out.shape, made=("Windows", out, prod(spatial)))]
