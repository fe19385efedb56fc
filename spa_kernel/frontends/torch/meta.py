"""Outputs on the meta device: shapes, without a computation."""

from __future__ import annotations

from typing import Any

import torch

from spa_kernel.frontends.torch.arguments import short
from spa_kernel.frontends.torch.aten.pointwise import ONNX_NAME

UNARY = {"relu", "gelu", "silu", "hardswish", "hardsigmoid", "sigmoid", "tanh", "exp", "sqrt"}
"""Calls whose output is like their input; torch takes its time to find that out."""

NOTHING = torch.empty(0, device="meta")


def plain_shape(func: Any, args: Any) -> Any:
    """The outputs of calls whose own meta computation is slow and whose shape is plain.

    ``None`` for all others.
    """
    if func is torch.ops.aten.native_batch_norm.default and not args[5]:
        return like(args[0]), NOTHING, NOTHING
    if func is torch.ops.aten.convolution.default:
        return convolved(*args)
    name = short(func)
    if name[-1] == "_" and name[:-1] in ONNX_NAME:
        return args[0]
    if name in UNARY and args[0].is_floating_point():
        return like(args[0])
    return None


def like(tensor: torch.Tensor) -> torch.Tensor:
    """A meta tensor of the same kind; ``empty_like`` takes much longer to make one."""
    return torch.empty_strided(tensor.size(), tensor.stride(), dtype=tensor.dtype, device="meta")


def convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: Any,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> torch.Tensor | None:
    """The output of a plain convolution; ``None`` where torch had better find out itself."""
    spatial = x.ndim - 2
    if (
        transposed
        or not x.is_contiguous()
        or x.shape[1] != weight.shape[1] * groups
        or not len(stride) == len(padding) == len(dilation) == spatial == weight.ndim - 2
    ):
        return None
    sizes = [
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, p, d, k, s in zip(
            x.shape[2:], padding, dilation, weight.shape[2:], stride, strict=True
        )
    ]
    if min(sizes, default=1) < 1:
        return None
    return torch.empty((x.shape[0], weight.shape[0], *sizes), dtype=x.dtype, device="meta")
