"""Attributes of torch's own layers that describe their weights but that no forward reads.

What a forward reads is found by recording it; ``Linear.out_features`` and its like are only
documentation, and are kept true here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn


def descriptors(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """Names and true values of a layer's descriptive attributes, from its weights' shapes."""
    weight: Any = getattr(module, "weight", None)
    if isinstance(module, nn.modules.conv._ConvNd):
        rows, columns = (1, 0) if module.transposed else (0, 1)
        per_group = (1, module.groups) if not module.transposed else (module.groups, 1)
        yield "out_channels", weight.shape[rows] * per_group[0]
        yield "in_channels", weight.shape[columns] * per_group[1]
    elif isinstance(module, nn.Linear):
        yield "out_features", weight.shape[0]
        yield "in_features", weight.shape[1]
    elif isinstance(module, nn.modules.batchnorm._NormBase):
        known = weight if weight is not None else module.running_mean
        if known is not None:
            yield "num_features", known.shape[0]
    elif isinstance(module, nn.GroupNorm):
        if weight is not None:
            yield "num_channels", weight.shape[0]
    elif isinstance(module, nn.Embedding):
        yield "num_embeddings", weight.shape[0]
        yield "embedding_dim", weight.shape[1]
    elif isinstance(module, nn.PReLU):
        yield "num_parameters", weight.shape[0]
    elif isinstance(module, nn.MultiheadAttention):
        embed = module.out_proj.weight.shape[0]
        yield "embed_dim", embed
        yield "head_dim", embed // module.num_heads
        separate = module.in_proj_weight is None
        yield "kdim", module.k_proj_weight.shape[1] if separate else embed
        yield "vdim", module.v_proj_weight.shape[1] if separate else embed
