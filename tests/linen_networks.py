"""Small Flax Linen networks for tests; importing it needs jax and flax."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

# Small networks take longer to compile than to run.
jax.config.update("jax_disable_most_optimizations", True)


class Block(nn.Module):
    """`jax_networks.Block`."""

    width: int

    @nn.compact
    def __call__(self, x: Any, train: bool) -> Any:
        y = nn.Conv(self.width, (3, 3), use_bias=False, name="a")(x)
        y = nn.relu(nn.BatchNorm(not train, name="n")(y))
        y = nn.Conv(self.width, (3, 3), name="b")(y)
        return nn.relu(x + nn.BatchNorm(not train, name="m")(y))


class Convs(nn.Module):
    """`jax_networks.Convs`: a residual block, a depthwise convolution, dropout, a flat head."""

    width: int = 12

    @nn.compact
    def __call__(self, x: Any, train: bool = False) -> Any:
        x = nn.Conv(self.width, (3, 3), name="conv")(x)
        x = nn.max_pool(nn.relu(nn.BatchNorm(not train, name="bn")(x)), (2, 2), strides=(2, 2))
        x = Block(self.width, name="block")(x, train)
        x = nn.silu(
            nn.Conv(self.width, (3, 3), feature_group_count=self.width, name="depthwise")(x)
        )
        x = nn.gelu(nn.Dense(20, name="hidden")(x.reshape(x.shape[0], -1)))
        return nn.Dense(4, name="head")(nn.Dropout(0.3, deterministic=not train)(x))


class Mlp(nn.Module):
    """Layers made in `setup`."""

    @nn.nowrap
    def widths(self) -> tuple[int, ...]:
        return (16, 12, 4)

    def setup(self) -> None:
        self.layers = [nn.Dense(width) for width in self.widths()]

    def __call__(self, x: Any) -> Any:
        for layer in self.layers[:-1]:
            x = nn.tanh(layer(x))
        return self.layers[-1](x)


class Member(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(4)(nn.relu(nn.Dense(12)(nn.LayerNorm()(x))))


class Ensemble(nn.Module):
    """Four members whose weights are stacked; all have the same input."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        members = nn.vmap(
            Member, variable_axes={"params": 0}, split_rngs={"params": True}, in_axes=None,
            axis_size=4,
        )  # fmt: skip
        return nn.Dense(3)(members()(nn.relu(nn.Dense(8)(x))).mean(0))


class Vit(nn.Module):
    """Patches, a class token and positions of its own, and a layer of attention."""

    width: int = 16
    norm: Callable[..., Any] = nn.LayerNorm

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Conv(self.width, (4, 4), (4, 4), padding="VALID")(x)
        x = x.reshape(x.shape[0], -1, x.shape[-1])
        token = self.param("token", nn.initializers.normal(), (1, 1, self.width))
        x = jnp.concatenate([jnp.broadcast_to(token, (x.shape[0], 1, token.shape[-1])), x], 1)
        x = x + self.param("positions", nn.initializers.normal(), (1, 5, self.width))
        x = x + nn.MultiHeadDotProductAttention(4, qkv_features=24)(self.norm()(x))
        x = x + nn.Dense(x.shape[-1])(nn.gelu(nn.Dense(20)(self.norm()(x))))
        return nn.Dense(5)(self.norm()(x)[:, 0])


class Depthwise(nn.Module):
    """An inverted bottleneck with a group norm, and a transposed convolution."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.Conv(8, (3, 3), strides=2)(x)
        y = nn.relu6(nn.GroupNorm(num_groups=4)(nn.Conv(16, (1, 1))(x)))
        y = nn.relu6(nn.Conv(16, (3, 3), feature_group_count=16)(y))
        x = x + nn.Conv(8, (1, 1))(y)
        return nn.ConvTranspose(3, (2, 2), strides=(2, 2))(nn.relu(nn.Conv(12, (1, 1))(x)))


class Tied(nn.Module):
    """An embedding that is its own head."""

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        embed = nn.Embed(30, 16)
        return embed.attend(jnp.tanh(nn.Dense(16)(embed(tokens))))


class Attention(nn.Module):
    """Attention that is written out; how many heads there are is a number of its own."""

    heads: int = 4

    @nn.compact
    def __call__(self, x: Any) -> Any:
        batch, length, _ = x.shape
        q, k, v = (nn.Dense(16)(x).reshape(batch, length, self.heads, -1) for _ in range(3))
        scores = jnp.einsum("blhd,bkhd->bhlk", q, k) / np.sqrt(q.shape[-1])
        mixed = jnp.einsum("bhlk,bkhd->blhd", jax.nn.softmax(scores), v)
        return nn.Dense(5)(jax.nn.elu(nn.Dense(8)(mixed.reshape(batch, length, -1))))


def made(module: nn.Module, *inputs: Any, seed: int = 0) -> dict[str, Any]:
    """Variables of a module, all of them random numbers; nothing is compiled for it."""
    rng = np.random.default_rng(seed)

    def drawn(like: Any) -> Any:
        if len(like.shape) < 2:
            return jnp.asarray(rng.uniform(0.5, 1.5, like.shape), like.dtype)
        spread = np.prod(like.shape[:-1]) ** -0.5
        return jnp.asarray(rng.normal(0, spread, like.shape), like.dtype)

    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
    variables: dict[str, Any] = jax.tree.map(drawn, shapes)
    return variables
