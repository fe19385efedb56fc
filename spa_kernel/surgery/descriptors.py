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
    elif isinstance(module, nn.RNNBase):
        yield from recurrent(module)
    elif isinstance(module, nn.RNNCellBase):
        yield "input_size", module.weight_ih.shape[1]
        yield "hidden_size", module.weight_hh.shape[1]
    elif isinstance(module, nn.MultiheadAttention):
        # What the queries have; what comes out may be of another width after a prune.
        fused = module.in_proj_weight
        embed = (module.q_proj_weight if fused is None else fused).shape[1]
        yield "embed_dim", embed
        yield "head_dim", embed // module.num_heads
        separate = module.in_proj_weight is None
        yield "kdim", module.k_proj_weight.shape[1] if separate else embed
        yield "vdim", module.v_proj_weight.shape[1] if separate else embed


def recurrent(module: Any) -> Iterator[tuple[str, Any]]:
    """Sizes of a recurrent layer; a projection makes its state shorter."""
    yield "input_size", module.weight_ih_l0.shape[1]
    if module.proj_size > 0:
        yield "hidden_size", module.weight_hr_l0.shape[1]
        yield "proj_size", module.weight_hr_l0.shape[0]
    else:
        yield "hidden_size", module.weight_hh_l0.shape[1]
