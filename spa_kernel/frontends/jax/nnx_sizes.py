"""Attributes of flax.nnx layers that hold the sizes of their weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flax import nnx


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
        yield from zip(("in_features", "out_features"), layer.kernel.shape, strict=True)
    elif isinstance(module, nnx.LinearGeneral):
        batch, ins = len(layer.batch_axis), len(layer.in_features)
        yield "in_features", tuple(layer.kernel.shape[batch : batch + ins])
        yield "out_features", tuple(layer.kernel.shape[batch + ins :])
    elif isinstance(module, nnx.Conv):
        shape, count = tuple(layer.kernel.shape), groups or layer.feature_group_count
        yield "kernel_shape", shape
        yield "feature_group_count", count
        yield "in_features", shape[-2] * count
        yield "out_features", shape[-1]
    elif isinstance(module, nnx.ConvTranspose):
        shape = tuple(layer.kernel.shape)
        ends = ("out_features", "in_features") if layer.transpose_kernel else (
            "in_features", "out_features")  # fmt: skip
        yield "kernel_shape", shape
        yield from zip(ends, shape[-2:], strict=True)
    elif isinstance(module, nnx.Embed):
        yield from zip(("num_embeddings", "features"), layer.embedding.shape, strict=True)
    elif isinstance(module, nnx.BatchNorm):
        yield "num_features", layer.mean.shape[0]
    elif isinstance(module, nnx.LayerNorm | nnx.RMSNorm | nnx.InstanceNorm):
        known = layer.scale if layer.scale is not None else getattr(layer, "bias", None)
        if known is not None:
            yield "num_features", known.shape[0]
    elif isinstance(module, nnx.GroupNorm):
        known = layer.scale if layer.scale is not None else layer.bias
        if known is not None:
            # Whole groups go, each as large as before.
            yield "num_features", known.shape[0]
            yield "num_groups", known.shape[0] // layer.group_size
    elif isinstance(module, nnx.MultiHeadAttention):
        ins, heads, depth = layer.query.kernel.shape
        yield "in_features", ins
        yield "num_heads", heads
        yield "head_dim", depth
        yield "qkv_features", heads * depth
        yield from zip(("in_kv_features", "num_kv_heads"), layer.key.kernel.shape[:2], strict=True)
        yield "out_features", layer.out.kernel.shape[-1]
