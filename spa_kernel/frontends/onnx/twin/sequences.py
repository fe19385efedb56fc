"""Sequences of tensors, as lists."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator


@operator("SplitToSequence", settings=(1,))
def split_to_sequence(call: Call, x: Tensor, sizes: Known | None = None) -> list[Tensor]:
    axis = call.attr("axis", 0)
    if sizes is None:
        parts = x.split(1, axis)
        return list(parts) if call.attr("keepdims", 1) else [p.squeeze(axis) for p in parts]
    each = int(sizes) if sizes.ndim == 0 else [int(n) for n in sizes]
    return list(x.split(each, axis))


@operator("SequenceConstruct")
def sequence_construct(call: Call, *operands: Tensor) -> list[Tensor]:
    return list(operands)


@operator("SequenceAt", settings=(1,))
def sequence_at(call: Call, parts: list[Tensor], position: Known) -> Tensor:
    return parts[int(position.item())]


@operator("SequenceLength")
def sequence_length(call: Call, parts: list[Tensor]) -> Known:
    return np.array(len(parts), np.int64)


@operator("ConcatFromSequence")
def concat_from_sequence(call: Call, parts: list[Tensor]) -> Tensor:
    axis = call.attr("axis")
    return torch.stack(parts, axis) if call.attr("new_axis", 0) else torch.cat(parts, axis)
