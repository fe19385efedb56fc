"""Pooling."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from spa_kernel.frontends.onnx.twin.layers import even, padded, padding, window
from spa_kernel.frontends.onnx.twin.registry import Call, operator

MAXIMUM: Any = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVERAGE: Any = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


@operator("MaxPool")
def max_pool(call: Call, x: Tensor) -> Any:
    if any(call.outputs[1:]):
        raise call.refuse("the positions that it finds are asked for")
    kernel, strides, dilations, pads, ceil = placed(call, x)
    if not even(pads) or any(2 * front > k for (front, _), k in zip(pads, kernel, strict=True)):
        lowest = torch.finfo(x.dtype).min if x.is_floating_point() else 0
        x, pads = padded(x, pads, lowest), [(0, 0)] * len(kernel)
    each = [front for front, _ in pads]
    return MAXIMUM[len(kernel)](x, kernel, strides, each, dilations, ceil)


@operator("AveragePool")
def average_pool(call: Call, x: Tensor) -> Any:
    kernel, strides, dilations, pads, ceil = placed(call, x)
    if any(d != 1 for d in dilations):
        raise call.refuse("it is dilated")
    pool, everything = AVERAGE[len(kernel)], bool(call.attr("count_include_pad", 0))
    fits = all(2 * front <= k for (front, _), k in zip(pads, kernel, strict=True))
    if even(pads) and fits:
        each = [front for front, _ in pads]
        return pool(x, kernel, strides, each, ceil, everything)
    wide = pool(padded(x, pads), kernel, strides, 0, ceil)
    if everything:
        return wide
    ones = torch.ones(1, 1, *x.shape[2:], dtype=x.dtype, device=call.device)
    return wide / pool(padded(ones, pads), kernel, strides, 0, ceil)


@operator("LpPool")
def lp_pool(call: Call, x: Tensor) -> Any:
    kernel, strides, dilations, pads, ceil = placed(call, x)
    if any(d != 1 for d in dilations) or ceil:
        raise call.refuse("it is dilated, or rounds up")
    p, count = call.attr("p", 2), 1
    for k in kernel:
        count *= k
    powers = padded(x.abs().pow(p), pads)
    return (AVERAGE[len(kernel)](powers, kernel, strides) * count).pow(1 / p)


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def global_pool(call: Call, x: Tensor) -> Tensor:
    space = list(range(2, x.ndim))
    if call.op == "GlobalAveragePool":
        return x.mean(space, keepdim=True)
    if call.op == "GlobalMaxPool":
        return x.amax(space, keepdim=True)
    norm: Tensor = torch.linalg.vector_norm(x, call.attr("p", 2), space, keepdim=True)
    return norm


def placed(call: Call, x: Tensor) -> tuple[list[int], list[int], list[int], Any, bool]:
    """Kernel, strides, dilations, padding, and whether sizes are rounded up."""
    kernel = list(call.attr("kernel_shape"))
    if len(kernel) not in AVERAGE:
        raise call.refuse(f"it has {len(kernel)} axes in space")
    ceil = bool(call.attr("ceil_mode", 0)) and not call.attr("auto_pad", "").startswith("SAME")
    return kernel, *window(call, kernel), padding(call, x, kernel), ceil
