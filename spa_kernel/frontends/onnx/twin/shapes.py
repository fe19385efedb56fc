"""Operators that rearrange axes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spa_kernel.frontends.onnx.twin.layers import padded
from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator


@operator("Reshape", settings=(1,))
def reshape(call: Call, x: Tensor, sizes: Known) -> Tensor:
    wanted = [int(n) for n in sizes]
    if not call.attr("allowzero", 0):
        wanted = [x.shape[i] if n == 0 else n for i, n in enumerate(wanted)]
    return x.reshape(wanted)


@operator("Flatten")
def flatten(call: Call, x: Tensor) -> Tensor:
    axis = call.attr("axis", 1)
    axis = axis + x.ndim if axis < 0 else axis
    front = 1
    for n in x.shape[:axis]:
        front *= n
    return x.flatten(1) if axis == 1 and x.ndim > 1 else x.reshape(front, -1)


@operator("Squeeze", settings=(1,))
def squeeze(call: Call, x: Tensor, axes: Known | None = None) -> Tensor:
    given = call.setting("axes", axes)
    if given is None:
        return x.squeeze()
    dims = {a % x.ndim for a in given}
    if any(x.shape[a] != 1 for a in dims):
        raise call.refuse("an axis that is to go has several entries")
    return x.reshape([n for a, n in enumerate(x.shape) if a not in dims])


@operator("Unsqueeze", settings=(1,))
def unsqueeze(call: Call, x: Tensor, axes: Known | None = None) -> Tensor:
    given = call.setting("axes", axes) or []
    ndim = x.ndim + len(given)
    for axis in sorted(a % ndim for a in given):
        x = x.unsqueeze(axis)
    return x


@operator("Transpose")
def transpose(call: Call, x: Tensor) -> Tensor:
    return x.permute(call.attr("perm") or list(range(x.ndim))[::-1])


@operator("Concat")
def concat(call: Call, *operands: Tensor) -> Tensor:
    return torch.cat(operands, call.attr("axis", 1))


@operator("Expand", settings=(1,))
def expand(call: Call, x: Tensor, sizes: Known) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(int(n) for n in sizes)))


@operator("Tile", settings=(1,))
def tile(call: Call, x: Tensor, repeats: Known) -> Tensor:
    return x.repeat([int(n) for n in repeats])


@operator("ConstantOfShape", settings=(0,))
def constant_of_shape(call: Call, sizes: Known) -> Tensor:
    value = call.attr("value", np.zeros(1, np.float32))
    return call.tensor(np.full([int(n) for n in sizes], value.item(), value.dtype))


@operator("Pad", settings=(1, 2, 3))
def pad(
    call: Call,
    x: Tensor,
    pads: Known | None = None,
    value: Known | None = None,
    axes: Known | None = None,
) -> Tensor:
    given = call.setting("pads", pads) or []
    dims = list(range(x.ndim)) if axes is None else [int(a) % x.ndim for a in axes]
    both = dict.fromkeys(range(x.ndim), (0, 0))
    for i, axis in enumerate(dims):
        both[axis] = given[i], given[len(dims) + i]
    mode = call.attr("mode", "constant")
    if mode == "constant":
        number = call.attr("value", 0.0) if value is None or not value.size else value.item()
        return padded(x, [both[axis] for axis in range(x.ndim)], number)
    for axis, (front, back) in both.items():
        if front or back:
            rows = np.arange(x.shape[axis])
            rows = rows[max(-front, 0) : len(rows) - max(-back, 0)]
            more = max(front, 0), max(back, 0)
            x = x.index_select(axis, call.tensor(np.pad(rows, more, mode=mode)))
    return x


@operator("DepthToSpace")
def depth_to_space(call: Call, x: Tensor) -> Tensor:
    b, (n, c, h, w) = call.attr("blocksize"), x.shape
    if call.attr("mode", "DCR") == "CRD":
        return torch.pixel_shuffle(x, b)
    x = x.reshape(n, b, b, c // (b * b), h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(n, c // (b * b), h * b, w * b)


@operator("SpaceToDepth")
def space_to_depth(call: Call, x: Tensor) -> Tensor:
    b, (n, c, h, w) = call.attr("blocksize"), x.shape
    x = x.reshape(n, c, h // b, b, w // b, b).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(n, c * b * b, h // b, w // b)


@operator("Trilu", settings=(1,))
def triangle(call: Call, x: Tensor, k: Known | None = None) -> Tensor:
    cut = torch.triu if call.attr("upper", 1) else torch.tril
    return cut(x, 0 if k is None else int(k.item()))
