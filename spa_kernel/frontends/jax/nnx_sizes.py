"""Attributes of flax.nnx layers that hold the sizes of their weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flax import nnx


def shape(tensor: Any, rank: int) -> tuple[int, ...]:
    """The sizes of a layer's tensor, of one layer where several are stacked in front."""
    return tuple(tensor.shape[-rank:])


def sizes(module: nnx.Module, groups: int | None) -> Iterator[tuple[str, Any]]:
    """Names and true values of a layer's sizes, from the shapes of its weights.

    Parameters
    ----------
    module : flax.nnx.Module
    groups : int or None
        Of a convolution, where it lost some.
    """
    layer: Any = module
    if isinstance(module, nnx.Linear):
        yield from zip(("in_features", "out_features"), shape(layer.kernel, 2), strict=True)
    elif isinstance(module, nnx.LinearGeneral):
        batch, ins = len(layer.batch_axis), len(layer.in_features)
        kernel = shape(layer.kernel, batch + ins + len(layer.out_features))
        yield "in_features", kernel[batch : batch + ins]
        yield "out_features", kernel[batch + ins :]
    elif isinstance(module, nnx.Conv):
        kernel = shape(layer.kernel, len(layer.kernel_shape))
        count = groups or layer.feature_group_count
        yield "kernel_shape", kernel
        yield "feature_group_count", count
        yield "in_features", kernel[-2] * count
        yield "out_features", kernel[-1]
    elif isinstance(module, nnx.ConvTranspose):
        kernel = shape(layer.kernel, len(layer.kernel_shape))
        ends = ("out_features", "in_features") if layer.transpose_kernel else (
            "in_features", "out_features")  # fmt: skip
        yield "kernel_shape", kernel
        yield from zip(ends, kernel[-2:], strict=True)
    elif isinstance(module, nnx.Embed):
        yield from zip(("num_embeddings", "features"), shape(layer.embedding, 2), strict=True)
    elif isinstance(module, nnx.BatchNorm):
        yield "num_features", layer.mean.shape[-1]
    elif isinstance(module, nnx.LayerNorm | nnx.RMSNorm | nnx.InstanceNorm):
        known = layer.scale if layer.scale is not None else getattr(layer, "bias", None)
        if known is not None:
            yield "num_features", known.shape[-1]
    elif isinstance(module, nnx.GroupNorm):
        known = layer.scale if layer.scale is not None else layer.bias
        if known is not None:
            # Whole groups go, each as large as before.
            yield "num_features", known.shape[-1]
            yield "num_groups", known.shape[-1] // layer.group_size
    elif isinstance(module, nnx.MultiHeadAttention):
        ins, heads, depth = shape(layer.query.kernel, 3)
        yield "in_features", ins
        yield "num_heads", heads
        yield "head_dim", depth
        yield "qkv_features", heads * depth
        others = shape(layer.key.kernel, 3)[:2]
        yield from zip(("in_kv_features", "num_kv_heads"), others, strict=True)
        yield "out_features", layer.out.kernel.shape[-1]
