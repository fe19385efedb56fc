"""The Attention operator, written out."""

from __future__ import annotations

import torch
from torch import Tensor

from spa_kernel.frontends.onnx.twin.registry import Call, operator


@operator("Attention")
def attention(
    call: Call, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *cache: Tensor | None
) -> Tensor:
    """Softmax(Q Kᵀ · scale + mask) V, with the heads in an axis of their own or not."""
    if any(call.outputs[1:]) or any(t is not None for t in cache):
        raise call.refuse("it keeps earlier keys and values")
    if call.attr("softcap", 0.0) or call.attr("is_causal", 0):
        raise call.refuse("it hides what comes later, or bounds its scores")
    joined = q.ndim == 3
    if joined:
        few = call.attr("kv_num_heads")
        q, k, v = (
            tensor.unflatten(-1, (heads, -1)).transpose(1, 2)
            for tensor, heads in ((q, call.attr("q_num_heads")), (k, few), (v, few))
        )
    if k.shape[1] != q.shape[1]:
        each = q.shape[1] // k.shape[1]
        k, v = (t.repeat_interleave(each, 1) for t in (k, v))
    scale = call.attr("scale") or q.shape[-1] ** -0.5
    scores = q @ k.transpose(-1, -2) * scale
    if mask is not None and mask.dtype == torch.bool:
        scores = torch.where(mask, scores, torch.finfo(scores.dtype).min)
    elif mask is not None:
        scores = scores + mask
    found = torch.softmax(scores, -1) @ v
    return found.transpose(1, 2).flatten(2) if joined else found
