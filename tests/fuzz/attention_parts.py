"""Attention in the ways that people write it."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .parts import Apply, Choice, Made, divisor, maker, parameter

HOW = "sdpa", "plain", "einsum", "attribute"


def attended(self: Any, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """(b, heads, n, dim) each; the scale and the product written in one of several ways."""
    if self.how == "sdpa":
        return F.scaled_dot_product_attention(q, k, v)
    if self.how == "einsum":
        scores = torch.einsum("bhqd,bhkd->bhqk", q, k) / math.sqrt(q.shape[-1])
        return torch.einsum("bhqk,bhkd->bhqd", scores.softmax(-1), v)
    scale = self.scale if self.how == "attribute" else q.shape[-1] ** -0.5
    scores = (q * scale) @ k.transpose(-2, -1)
    if hasattr(self, "bias"):
        scores = scores + self.bias
    return scores.softmax(-1) @ v


def separate(self: Any, x: torch.Tensor) -> torch.Tensor:
    b, n, _ = x.shape
    q, k, v = (f(x).view(b, n, self.heads, -1).transpose(1, 2) for f in self.layers[:3])
    return self.layers[3](attended(self, q, k, v).transpose(1, 2).reshape(b, n, -1))


def fused(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Queries, keys and values from one layer: (3, heads, dim) or (heads, 3, dim)."""
    b, n, _ = x.shape
    if self.order == "interleaved":
        qkv = self.layers[0](x).view(b, n, self.heads, 3, -1).permute(3, 0, 2, 1, 4)
    elif self.order == "chunk":
        parts = self.layers[0](x).chunk(3, -1)
        qkv = [p.unflatten(-1, (self.heads, -1)).transpose(1, 2) for p in parts]
    else:
        qkv = self.layers[0](x).reshape(b, n, 3, self.heads, self.dim).permute(2, 0, 3, 1, 4)
    q, k, v = qkv
    return self.layers[1](attended(self, q, k, v).transpose(1, 2).flatten(2))


@maker("tokens")
def attention(it: Choice) -> Made:
    heads, dim, width = 1 + it.b % 3, 2 + it.c % 3, it.width
    wide = heads * dim
    extra: dict[str, Any] = {"heads": heads, "dim": dim, "scale": dim**-0.5}
    extra["how"] = it.pick(HOW, it.c + it.b // 3)
    if it.c % 4 == 1:
        extra["bias"] = parameter(heads, it.kind.size, it.kind.size)
    if it.b % 2:
        layers = [nn.Linear(width, wide) for _ in range(3)] + [nn.Linear(wide, width)]
        return it.one(Apply(separate, layers, **extra))
    extra["order"] = it.pick(("fused", "interleaved", "chunk"), it.c + it.b // 2)
    return it.one(Apply(fused, [nn.Linear(width, 3 * wide), nn.Linear(wide, width)], **extra))


def rotated(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions: pairs of entries half the width apart are turned."""
    half = x.shape[-1] // 2
    angles = torch.arange(x.shape[-2])[:, None] * torch.arange(1, half + 1)[None].to(x.dtype)
    angles = torch.cat([angles, angles], -1)
    turned = torch.cat([-x[..., half:], x[..., :half]], -1)
    return x * angles.cos() + turned * angles.sin()


def grouped(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Several query heads for each head of keys and values."""
    b, n, _ = x.shape
    q = self.layers[0](x).view(b, n, self.heads, self.dim).transpose(1, 2)
    k = self.layers[1](x).view(b, n, self.shared, self.dim).transpose(1, 2)
    v = self.layers[2](x).view(b, n, self.shared, self.dim).transpose(1, 2)
    if self.rotary:
        q, k = rotated(q), rotated(k)
    if self.repeat == "sdpa":
        y = F.scaled_dot_product_attention(q, k, v, enable_gqa=True)
    else:
        times = self.heads // self.shared
        if self.repeat == "interleave":
            k, v = k.repeat_interleave(times, 1), v.repeat_interleave(times, 1)
        else:
            k, v = (
                t[:, :, None].expand(-1, -1, times, -1, -1).reshape(b, self.heads, n, -1)
                for t in (k, v)
            )
        y = attended(self, q, k, v)
    return self.layers[3](y.transpose(1, 2).reshape(b, n, -1))


@maker("tokens")
def grouped_queries(it: Choice) -> Made:
    shared = 1 + it.b % 2
    heads, dim, width = shared * (1 + it.c % 2 + 1), 4, it.width
    layers = [nn.Linear(width, heads * dim), nn.Linear(width, shared * dim),
              nn.Linear(width, shared * dim), nn.Linear(heads * dim, width)]  # fmt: skip
    repeat = it.pick(("interleave", "expand", "sdpa"), it.c)
    how = it.pick(("sdpa", "plain"), it.b)
    return it.one(
        Apply(grouped, layers, heads=heads, shared=shared, dim=dim, rotary=it.b % 4 > 1,
              repeat=repeat, how=how)
    )  # fmt: skip


@maker("tokens")
def torch_attention(it: Choice) -> Made | None:
    """The layers that torch has."""
    heads = divisor(it.width, it.width, it.b)
    inner = it.new
    if it.c % 3 == 0:
        layer: nn.Module = nn.MultiheadAttention(it.width, heads, batch_first=True)
        return it.one(Apply(lambda s, x: s.layers(x, x, x, need_weights=False)[0], layer))
    options = {"dim_feedforward": inner, "batch_first": True, "norm_first": it.b % 2 == 0}
    if it.c % 3 == 1:
        return it.one(nn.TransformerEncoderLayer(it.width, heads, **options))
    other = [i for i, k in enumerate(it.kinds) if k.form == "tokens" and k.width == it.width]
    layer = nn.TransformerDecoderLayer(it.width, heads, **options)
    return layer, [it.first, it.pick(other, it.b)], [it.kind]


def windows(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Attention within stretches of the sequence, with a bias by distance."""
    b, n, c = x.shape
    x = x.view(b * (n // self.window), self.window, c)
    qkv = self.layers[0](x).reshape(x.shape[0], self.window, 3, self.heads, -1)
    q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
    scores = q @ k.transpose(-2, -1) * self.scale
    bias = self.table[self.distance.view(-1)].view(self.window, self.window, -1)
    scores = scores + bias.permute(2, 0, 1).unsqueeze(0)
    y = (scores.softmax(-1) @ v).transpose(1, 2).reshape(x.shape[0], self.window, -1)
    return self.layers[1](y).view(b, n, c)


@maker("tokens")
def windowed(it: Choice) -> Made | None:
    window = 2 + 2 * (it.c % 2)
    if it.kind.size % window:
        return None
    heads, dim, width = 1 + it.b % 3, 2 + it.c % 3, it.width
    position = torch.arange(window)
    return it.one(
        Apply(windows, [nn.Linear(width, 3 * heads * dim), nn.Linear(heads * dim, width)],
              heads=heads, window=window, scale=dim**-0.5, table=parameter(2 * window - 1, heads),
              distance=position[:, None] - position[None] + window - 1)
    )  # fmt: skip


def covariance(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Channels of a head attend to each other."""
    b, n, _ = x.shape
    qkv = self.layers[0](x).reshape(b, n, 3, self.heads, -1).permute(2, 0, 3, 4, 1)
    q, k, v = qkv.unbind(0)
    q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
    scores = (q @ k.transpose(-2, -1)) * self.temperature
    y = scores.softmax(-1) if self.how == "softmax" else scores.tanh()
    return self.layers[1]((y @ v).permute(0, 3, 1, 2).reshape(b, n, -1))


@maker("tokens")
def channel_attention(it: Choice) -> Made:
    heads, dim, width = 1 + it.b % 3, 2 + it.c % 3, it.width
    return it.one(
        Apply(covariance, [nn.Linear(width, 3 * heads * dim), nn.Linear(heads * dim, width)],
              heads=heads, temperature=parameter(heads, 1, 1),
              how=it.pick(("softmax", "tanh"), it.c))
    )  # fmt: skip


def cross(self: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Without a softmax: linear attention of one sequence to another."""
    k, v = self.layers[1](y).relu(), self.layers[2](y)
    return self.layers[3](self.layers[0](x).relu() @ (k.transpose(1, 2) @ v))


@maker("tokens")
def linear_attention(it: Choice) -> Made:
    others = [i for i, k in enumerate(it.kinds) if k.form == "tokens"]
    other = it.pick(others, it.b)
    wide, width = it.new, it.width
    layers: list[nn.Module] = [
        nn.Linear(width, wide), nn.Linear(it.kinds[other].width, wide),
        nn.Linear(it.kinds[other].width, wide), nn.Linear(wide, width),
    ]  # fmt: skip
    return Apply(cross, layers), [it.first, other], [it.kind]
