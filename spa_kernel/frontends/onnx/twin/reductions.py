"""Operators that work along axes and make one number, or as many, of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator


@operator(
    "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2",
    "ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", settings=(1,),
)  # fmt: skip
def reduction(call: Call, x: Tensor, axes: Known | None = None) -> Tensor:
    given = call.setting("axes", axes)
    if not given:
        if call.attr("noop_with_empty_axes", 0):
            raise call.refuse("no axes are given")
        given = list(range(x.ndim))
    dims = sorted({a % x.ndim for a in given}) if x.ndim else []
    if not dims:
        raise call.refuse("it reduces a single number")
    keep = bool(call.attr("keepdims", 1))
    match call.op:
        case "ReduceSum":
            return x.sum(dims, keepdim=keep, dtype=x.dtype)
        case "ReduceMean":
            return x.mean(dims, keepdim=keep)
        case "ReduceMax" | "ReduceMin":
            return (x.amax if call.op == "ReduceMax" else x.amin)(dims, keepdim=keep)
        case "ReduceProd":
            for dim in reversed(dims):
                x = x.prod(dim, keepdim=keep, dtype=x.dtype)
            return x
        case "ReduceL1" | "ReduceL2":
            norm: Tensor = torch.linalg.vector_norm(
                x, 1 if call.op == "ReduceL1" else 2, dims, keepdim=keep
            )
            return norm
        case "ReduceLogSum":
            return x.sum(dims, keepdim=keep).log()
        case "ReduceLogSumExp":
            return torch.logsumexp(x, dims, keepdim=keep)
    return x.square().sum(dims, keepdim=keep)


@operator("ArgMax", "ArgMin")
def arg(call: Call, x: Tensor) -> Tensor:
    axis, keep = call.attr("axis", 0), bool(call.attr("keepdims", 1))
    find = torch.argmax if call.op == "ArgMax" else torch.argmin
    if call.attr("select_last_index", 0):
        return x.shape[axis] - 1 - find(x.flip(axis), axis, keepdim=keep)
    return find(x, axis, keepdim=keep)


@operator("Softmax", "LogSoftmax", "Hardmax")
def softmax(call: Call, x: Tensor) -> Tensor:
    axis = call.attr("axis", -1 if call.opset >= 13 else 1) % max(x.ndim, 1)
    if call.opset < 13 and axis != x.ndim - 1:
        # These took all axes from there on as one.
        return along(call, x.flatten(axis), axis).reshape(x.shape)
    return along(call, x, axis)


def along(call: Call, x: Tensor, axis: int) -> Tensor:
    if call.op == "Softmax":
        return torch.softmax(x, axis)
    if call.op == "LogSoftmax":
        return torch.log_softmax(x, axis)
    largest = F.one_hot(x.argmax(axis), x.shape[axis])
    return largest.movedim(-1, axis).to(x.dtype)


@operator("CumSum", settings=(1,))
def cumsum(call: Call, x: Tensor, axis: Known) -> Tensor:
    dim = int(axis.item())
    if call.attr("reverse", 0):
        x = x.flip(dim)
    found = torch.cumsum(x, dim, dtype=x.dtype)
    if call.attr("exclusive", 0):
        found = found - x
    return found.flip(dim) if call.attr("reverse", 0) else found


@operator("TopK", settings=(1,))
def top_k(call: Call, x: Tensor, k: Known | None = None) -> tuple[Tensor, Tensor]:
    count = call.attr("k") if k is None else k.item()
    largest, ordered = bool(call.attr("largest", 1)), bool(call.attr("sorted", 1))
    values, indices = torch.topk(x, int(count), call.attr("axis", -1), largest, ordered)
    return values, indices


@operator("LpNormalization")
def lp_norm(call: Call, x: Tensor) -> Tensor:
    length = torch.linalg.vector_norm(x, call.attr("p", 2), call.attr("axis", -1), keepdim=True)
    found: Tensor = x / length
    return found


@operator("MeanVarianceNormalization")
def standardised(call: Call, x: Tensor) -> Tensor:
    axes = call.attr("axes", [0, 2, 3])
    centred = x - x.mean(axes, keepdim=True)
    return centred / (centred.square().mean(axes, keepdim=True).sqrt() + 1e-9)
