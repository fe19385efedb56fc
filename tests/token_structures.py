"""Small networks on tokens: attention in its forms, one coupling pattern each."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from structures import TOKENS, Forward, conv, head, structure
from torch import nn


def attention(x: torch.Tensor, layer: Any, q: Any, k: Any, v: Any) -> torch.Tensor:
    """Heads and head dimensions worked out from the embedding, as is usual."""
    b, n, _ = x.shape

    def heads(t: torch.Tensor) -> torch.Tensor:
        return t.view(b, -1, layer.heads, t.shape[-1] // layer.heads).transpose(1, 2)

    q, k, v = heads(q), heads(k), heads(v)
    weights = (q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])).softmax(-1)
    return (weights @ v).transpose(1, 2).reshape(b, n, -1)


@structure(TOKENS)
def attention_separate() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        x = x + self.out(attention(x, self, self.q(x), self.k(x), self.v(x)))
        return self.last(self.norm(x))

    return Forward(
        forward, heads=4, embed=nn.Linear(12, 16), q=nn.Linear(16, 16), k=nn.Linear(16, 16),
        v=nn.Linear(16, 16), out=nn.Linear(16, 16), norm=nn.LayerNorm(16), last=nn.Linear(16, 4),
    )  # fmt: skip


def fused(forward: Callable[..., Any], bias: bool = True) -> nn.Module:
    return Forward(
        forward, heads=4, dim=4, scale=4**-0.5, embed=nn.Linear(12, 16),
        qkv=nn.Linear(16, 48, bias=bias), out=nn.Linear(16, 16), norm=nn.LayerNorm(16),
        last=nn.Linear(16, 4),
    )  # fmt: skip


@structure(TOKENS)
def attention_fused_chunk() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        x = x + self.out(attention(x, self, *self.qkv(x).chunk(3, dim=-1)))
        return self.last(self.norm(x))

    return fused(forward)


@structure(TOKENS)
def attention_fused_unbind() -> nn.Module:
    """As timm writes it: reshape to (3, B, heads, N, dim), unbind, fused kernel."""

    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        b, n, c = x.shape
        qkv = self.qkv(x).reshape(b, n, 3, self.heads, self.dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, c)
        return self.last(self.norm(x + self.out(y)))

    return fused(forward)


@structure(TOKENS)
def attention_fused_indexed() -> nn.Module:
    """Scale kept as an attribute; parts taken by index; head dimension from the input's size."""

    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        b, n, _ = x.shape
        qkv = self.qkv(x).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        y = ((q * self.scale) @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        return self.last(self.norm(x + self.out(y.transpose(1, 2).flatten(2))))

    return fused(forward, bias=False)


@structure(TOKENS)
def attention_einsum() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, self.dim)).unbind(2)
        weights = torch.einsum("bnhd,bmhd->bhnm", q, k).mul(self.dim**-0.5).softmax(-1)
        y = torch.einsum("bhnm,bmhd->bnhd", weights, v).flatten(2)
        return self.last(self.norm(x + self.out(y)))

    return fused(forward)


def attending(forward: Callable[..., Any], **options: Any) -> nn.Module:
    return Forward(forward, embed=nn.Linear(12, 16), norm=nn.LayerNorm(16), last=nn.Linear(16, 4),
                   mix=nn.MultiheadAttention(16, 4, batch_first=True, **options))  # fmt: skip


@structure(TOKENS)
def multihead_with_weights() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        y, weights = self.mix(x, x, x, need_weights=True)
        return self.last(self.norm(x + y)), weights

    return attending(forward)


@structure(TOKENS)
def multihead_without_weights() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        return self.last(self.norm(x + self.mix(x, x, x, need_weights=False)[0]))

    return attending(forward)


@structure((TOKENS, (2, 7, 10), (2, 7, 6)))
def multihead_cross() -> nn.Module:
    def forward(self: Any, x: Any, k: Any, v: Any) -> Any:
        x = self.embed(x)
        y = self.mix(x, self.k(k), self.v(v), need_weights=False)[0]
        return self.last(self.norm(x + y))

    model = attending(forward, kdim=8, vdim=14)
    model.k, model.v = nn.Linear(10, 8), nn.Linear(6, 14)
    return model


@structure(TOKENS)
def encoder_layer() -> nn.Module:
    layer = nn.TransformerEncoderLayer(16, 4, 24, batch_first=True, norm_first=True)
    return nn.Sequential(nn.Linear(12, 16), layer, nn.LayerNorm(16), nn.Linear(16, 4))


def grouped_query(spread: Callable[[Any, torch.Tensor], torch.Tensor]) -> nn.Module:
    """Four query heads share two key and value heads."""

    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)
        b, n, _ = x.shape
        q = self.q(x).view(b, n, -1, self.dim).transpose(1, 2)
        k = spread(self, self.k(x).view(b, n, -1, self.dim).transpose(1, 2))
        v = spread(self, self.v(x).view(b, n, -1, self.dim).transpose(1, 2))
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(b, n, -1)
        return self.last(self.norm(x + self.out(y)))

    return Forward(
        forward, dim=4, times=2, embed=nn.Linear(12, 16), q=nn.Linear(16, 16), k=nn.Linear(16, 8),
        v=nn.Linear(16, 8), out=nn.Linear(16, 16), norm=nn.LayerNorm(16), last=nn.Linear(16, 4),
    )  # fmt: skip


@structure(TOKENS)
def grouped_query_interleave() -> nn.Module:
    return grouped_query(lambda self, t: t.repeat_interleave(self.times, dim=1))


@structure(TOKENS)
def grouped_query_expand() -> nn.Module:
    def spread(self: Any, t: torch.Tensor) -> torch.Tensor:
        b, h, n, d = t.shape
        return t[:, :, None].expand(b, h, self.times, n, d).reshape(b, h * self.times, n, d)

    return grouped_query(spread)


@structure()
def prelu() -> nn.Module:
    return nn.Sequential(conv(3, 8), nn.PReLU(8), conv(8, 12), nn.PReLU(), conv(12, 6), head(6))
