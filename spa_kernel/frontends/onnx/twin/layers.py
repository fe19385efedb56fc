"""Convolutions, products and normalisations."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator

CONV: Any = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSED: Any = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}
Pads = list[tuple[int, int]]


def window(call: Call, kernel: list[int]) -> tuple[list[int], list[int]]:
    """Strides and dilations."""
    ones = [1] * len(kernel)
    return list(call.attr("strides", ones)), list(call.attr("dilations", ones))


def padding(call: Call, x: Tensor, kernel: list[int]) -> Pads:
    """What is added in front of and behind each axis in space."""
    auto, n = call.attr("auto_pad", "NOTSET"), len(kernel)
    given = list(call.attr("pads", [0] * 2 * n))
    if auto == "VALID":
        return [(0, 0)] * n
    if not auto.startswith("SAME"):
        return list(zip(given[:n], given[n:], strict=True))
    strides, dilations = window(call, kernel)
    pads = []
    for size, k, s, d in zip(x.shape[2:], kernel, strides, dilations, strict=True):
        missing = max((-(-size // s) - 1) * s + d * (k - 1) + 1 - size, 0)
        less, more = missing // 2, missing - missing // 2
        pads.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return pads


def even(pads: Pads) -> bool:
    return all(front == back for front, back in pads)


def padded(x: Tensor, pads: Pads, value: float = 0.0) -> Tensor:
    """With a number added around it."""
    flat = [n for pair in reversed(pads) for n in pair]
    return F.pad(x, flat, value=value) if any(flat) else x


def added(call: Call, bias: Tensor | Known | None) -> Tensor | None:
    """A bias; exporters write zeros where a layer has none."""
    if isinstance(bias, np.ndarray):
        return call.tensor(bias) if bias.any() else None
    return bias


@operator("Conv", either=(2,))
def conv(call: Call, x: Tensor, weight: Tensor, bias: Tensor | Known | None = None) -> Any:
    bias = added(call, bias)
    kernel = list(weight.shape[2:])
    if len(kernel) not in CONV:
        raise call.refuse(f"it has {len(kernel)} axes in space")
    strides, dilations = window(call, kernel)
    pads = padding(call, x, kernel)
    if not even(pads):
        x, pads = padded(x, pads), [(0, 0)] * len(kernel)
    each = [front for front, _ in pads]
    groups = call.attr("group", 1)
    return CONV[len(kernel)](x, weight, bias, strides, each, dilations, groups)


@operator("ConvTranspose", either=(2,))
def conv_transpose(
    call: Call, x: Tensor, weight: Tensor, bias: Tensor | Known | None = None
) -> Any:
    bias = added(call, bias)
    kernel, space = list(weight.shape[2:]), x.shape[2:]
    if len(kernel) not in TRANSPOSED:
        raise call.refuse(f"it has {len(kernel)} axes in space")
    strides, dilations = window(call, kernel)
    extra = list(call.attr("output_padding", [0] * len(kernel)))
    compute, groups = TRANSPOSED[len(kernel)], call.attr("group", 1)
    full = [
        (n - 1) * s + d * (k - 1) + 1
        for n, k, s, d in zip(space, kernel, strides, dilations, strict=True)
    ]
    auto, sizes = call.attr("auto_pad", "NOTSET"), call.attr("output_shape")
    if sizes or auto.startswith("SAME"):
        wanted = list(sizes or [n * s for n, s in zip(space, strides, strict=True)])
        pads = []
        for have, more, want in zip(full, extra, wanted[-len(kernel) :], strict=True):
            missing = max(have + more - want, 0)
            half = missing // 2
            upper = auto == "SAME_UPPER"
            pads.append((half, missing - half) if upper else (missing - half, half))
    else:
        given = list(call.attr("pads", [0] * 2 * len(kernel)))
        pads = list(zip(given[: len(kernel)], given[len(kernel) :], strict=True))
        if auto == "VALID":
            pads = [(0, 0)] * len(kernel)
    small = all(e < max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True))
    if even(pads) and small:
        each = [front for front, _ in pads]
        return compute(x, weight, bias, strides, each, extra, groups, dilations)
    made = compute(x, weight, None, strides, 0, 0, groups, dilations)
    # What is beyond the picture is bias alone; fewer rows than none are cut off.
    made = padded(made, [(-f, e - b) for (f, b), e in zip(pads, extra, strict=True)])
    return made if bias is None else made + bias.reshape(-1, *(1,) * len(kernel))


@operator("Gemm")
def gemm(call: Call, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    alpha, beta = call.attr("alpha", 1.0), call.attr("beta", 1.0)
    if call.attr("transA", 0):
        a = a.t()
    plain = c is None or (c.shape == b.shape[:1] and beta == 1)
    if call.attr("transB", 0) and alpha == 1 and plain:
        return F.linear(a, b, c)
    if call.attr("transB", 0):
        b = b.t()
    product = a @ b
    if alpha != 1:
        product = alpha * product
    if c is None:
        return product
    return product + (c if beta == 1 else beta * c)


@operator("MatMul")
def matmul(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.matmul(a, b)


@operator("Einsum")
def einsum(call: Call, *operands: Tensor) -> Tensor:
    found: Tensor = torch.einsum(call.attr("equation"), *operands)
    return found


@operator("BatchNormalization")
def batch_norm(
    call: Call, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor
) -> Tensor:
    """One whose statistics are no layer's own; see `spa_kernel.frontends.onnx.twin.norms`."""
    refuse_training(call)
    epsilon = call.attr("epsilon", 1e-5)
    return F.batch_norm(x, mean.detach(), variance.detach(), scale, bias, False, 0.0, epsilon)


def refuse_training(call: Call) -> None:
    if call.attr("training_mode", 0) or (call.opset >= 14 and any(call.outputs[1:])):
        raise call.refuse("it is there for training")


@operator("LayerNormalization", "RMSNormalization")
def layer_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    if any(call.outputs[1:]):
        raise call.refuse("its mean or deviation is asked for")
    axis = call.attr("axis", -1) % x.ndim
    shape, epsilon = list(x.shape[axis:]), call.attr("epsilon", 1e-5)
    if call.op == "RMSNormalization":
        if list(scale.shape) == shape:
            return F.rms_norm(x, shape, scale, epsilon)
        return F.rms_norm(x, shape, None, epsilon) * scale
    fits = list(scale.shape) == shape and (bias is None or list(bias.shape) == shape)
    if fits:
        return F.layer_norm(x, shape, scale, bias, epsilon)
    found = F.layer_norm(x, shape, None, None, epsilon) * scale
    return found if bias is None else found + bias


@operator("InstanceNormalization")
def instance_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=call.attr("epsilon", 1e-5))


@operator("GroupNormalization")
def group_norm(call: Call, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups, epsilon = call.attr("num_groups"), call.attr("epsilon", 1e-5)
    if call.opset >= 21:
        return F.group_norm(x, groups, scale, bias, epsilon)
    # One scale for each group, in those days.
    each, shape = x.shape[1] // groups, (-1, *(1,) * (x.ndim - 2))
    scale, bias = (t.repeat_interleave(each).reshape(shape) for t in (scale, bias))
    return F.group_norm(x, groups, None, None, epsilon) * scale + bias


@operator("LRN")
def local_response(call: Call, x: Tensor) -> Tensor:
    size, bias = call.attr("size"), call.attr("bias", 1.0)
    front = (size - 1) // 2
    squares = F.pad(x.square(), [0, 0] * (x.ndim - 2) + [front, size - 1 - front])
    summed = sum(squares.narrow(1, i, x.shape[1]) for i in range(size))
    return x / (bias + call.attr("alpha", 1e-4) / size * summed) ** call.attr("beta", 0.75)
