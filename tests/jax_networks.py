"""Small flax.nnx networks for tests; importing it needs jax and flax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

# Small networks take longer to compile than to run.
jax.config.update("jax_disable_most_optimizations", True)


class Block(nnx.Module):
    def __init__(self, width: int, rngs: nnx.Rngs) -> None:
        self.a = nnx.Conv(width, width, (3, 3), use_bias=False, rngs=rngs)
        self.n = nnx.BatchNorm(width, rngs=rngs)
        self.b = nnx.Conv(width, width, (3, 3), rngs=rngs)
        self.m = nnx.BatchNorm(width, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return jax.nn.relu(x + self.m(self.b(jax.nn.relu(self.n(self.a(x))))))


class Convs(nnx.Module):
    """BatchNorm, a residual block, a depthwise convolution, dropout, a flattened head."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 12, (3, 3), rngs=rngs)
        self.bn = nnx.BatchNorm(12, rngs=rngs)
        self.block = Block(12, rngs)
        self.depthwise = nnx.Conv(12, 12, (3, 3), feature_group_count=12, rngs=rngs)
        self.hidden = nnx.Linear(12 * 16, 20, rngs=rngs)
        self.drop = nnx.Dropout(0.3, rngs=rngs)
        self.head = nnx.Linear(20, 4, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = nnx.max_pool(jax.nn.relu(self.bn(self.conv(x))), (2, 2), strides=(2, 2))
        x = jax.nn.silu(self.depthwise(self.block(x)))
        return self.head(self.drop(jax.nn.gelu(self.hidden(x.reshape(x.shape[0], -1)))))


class Layer(nnx.Module):
    def __init__(self, norm: Any, rngs: nnx.Rngs) -> None:
        self.n1, self.n2 = norm(16, rngs=rngs), norm(16, rngs=rngs)
        self.att = nnx.MultiHeadAttention(4, 16, 32, decode=False, rngs=rngs)
        self.up, self.down = nnx.Linear(16, 24, rngs=rngs), nnx.Linear(24, 16, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        mask = jnp.tril(jnp.ones((x.shape[1], x.shape[1]), bool))
        x = x + self.att(self.n1(x), mask=mask)
        return x + self.down(jax.nn.gelu(self.up(self.n2(x))))


class Member(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.up, self.down = nnx.Linear(8, 12, rngs=rngs), nnx.Linear(12, 4, rngs=rngs)
        self.norm = nnx.LayerNorm(12, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        return self.down(jax.nn.relu(self.norm(self.up(x))))


class Ensemble(nnx.Module):
    """Four members whose weights are stacked, under ``nnx.vmap``."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first = nnx.Linear(8, 8, rngs=rngs)
        made = nnx.vmap(Member, in_axes=0, out_axes=0)
        self.members = nnx.split_rngs(splits=4)(made)(rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = jax.nn.relu(self.first(x))
        each = nnx.vmap(lambda member, x: member(x), in_axes=(0, None), out_axes=0)
        return self.head(each(self.members, x).mean(0))


class Tokens(nnx.Module):
    """Embeddings, positions and two layers of attention."""

    def __init__(self, rngs: nnx.Rngs, norm: Any = nnx.LayerNorm) -> None:
        self.embed = nnx.Embed(30, 16, rngs=rngs)
        self.positions = nnx.Param(jax.random.normal(rngs.params(), (6, 16)))
        self.layers = nnx.List([Layer(norm, rngs) for _ in range(2)])
        self.norm = norm(16, rngs=rngs)
        self.head = nnx.Linear(16, 5, rngs=rngs)

    def __call__(self, tokens: Any) -> Any:
        x = self.embed(tokens) + self.positions[...]
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x))


class Attention(nnx.Module):
    """Attention that is written out; how many heads there are is a number of its own."""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.heads = 4
        self.q, self.k, self.v = (nnx.Linear(8, 16, rngs=rngs) for _ in range(3))
        self.out, self.head = nnx.Linear(16, 8, rngs=rngs), nnx.Linear(8, 5, rngs=rngs)

    def __call__(self, x: Any) -> Any:
        batch, length, _ = x.shape
        q, k, v = (f(x).reshape(batch, length, self.heads, -1) for f in (self.q, self.k, self.v))
        scores = jnp.einsum("blhd,bkhd->bhlk", q, k) / np.sqrt(q.shape[-1])
        mixed = jnp.einsum("bhlk,bkhd->blhd", jax.nn.softmax(scores), v)
        return self.head(jax.nn.elu(self.out(mixed.reshape(batch, length, -1))))


class Two(nnx.Module):
    """Two linear layers with a function between them."""

    def __init__(self, function: Any, rngs: nnx.Rngs, wide: int = 12, inner: int = 12) -> None:
        self.a, self.b = nnx.Linear(6, wide, rngs=rngs), nnx.Linear(inner, 5, rngs=rngs)
        self.function = function

    def __call__(self, x: Any) -> Any:
        return self.b(self.function(self.a(x)))


def shaken(model: nnx.Module, seed: int = 0) -> nnx.Module:
    """The model in eval mode with random numbers wherever it was initialised to zeros or ones."""
    rng = np.random.default_rng(seed)
    for _, node in nnx.iter_graph(model):
        if isinstance(node, nnx.Param | nnx.BatchStat):
            held = node.get_raw_value()
            noise = rng.uniform(0.5, 1.5, held.shape) if held.ndim == 1 else 0
            node.set_raw_value(jnp.asarray(np.asarray(held) * 0.9 + noise, held.dtype))
    model.eval()
    return model
