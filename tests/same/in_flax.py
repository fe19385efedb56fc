"""The described networks of flax's layers; pictures have their channels last."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
from described import EPSILON, MOMENTUM, RATE, Network, Weights
from flax import nnx

CHANNELS_FIRST = False


def net(describe: Network, weights: Weights, shape: tuple[int, ...]) -> nnx.Module:
    return Net(describe, weights, shape)


def batch(x):
    return jnp.asarray(x.transpose(0, 2, 3, 1))


def outputs(model, x):
    return np.asarray(model(batch(x)))


def train(model, x, labels):
    """One epoch."""
    model.train()
    optimizer = nnx.Optimizer(model, optax.adam(RATE), wrt=nnx.Param)

    @nnx.jit
    def step(model, optimizer, images, targets):
        def loss(model):
            losses = optax.softmax_cross_entropy_with_integer_labels(model(images), targets)
            return losses.mean()

        optimizer.update(model, nnx.grad(loss)(model))

    order = np.random.default_rng(0).permutation(len(x))
    for at in np.array_split(order, len(x) // 32):
        step(model, optimizer, batch(x[at]), jnp.asarray(labels[at]))
    model.eval()


class Net(nnx.Module):
    """Layers are made in a first forward."""

    def __init__(self, describe: Network, weights: Weights, shape: tuple[int, ...]) -> None:
        self.describe, self.weights = nnx.static(describe), nnx.static(weights)
        c, *size = shape
        self(jnp.zeros((2, *size, c)))
        self.eval()

    def __call__(self, x):
        return self.describe(self, x)

    def layer(self, name, make, **arrays):
        if not hasattr(self, name):
            made = make()
            for part, array in arrays.items():
                variable = getattr(made, part)
                variable.set_value(jnp.asarray(array()).reshape(variable.get_value().shape))
            setattr(self, name, made)
        return getattr(self, name)

    def conv(self, x, name, out, kernel=3, stride=1, groups=1, bias=False, padded=True):
        pad = kernel // 2 if padded else 0
        shape = (out, x.shape[-1] // groups, kernel, kernel)
        arrays = {
            "kernel": lambda: self.weights.kernel(f"{name}.weight", shape).transpose(2, 3, 1, 0)
        }
        if bias:
            arrays["bias"] = lambda: self.weights.get(f"{name}.bias", (out,), 0, 0.1)
        return self.layer(
            name,
            lambda: nnx.Conv(
                shape[1] * groups, out, (kernel, kernel), (stride, stride),
                padding=((pad, pad), (pad, pad)), feature_group_count=groups, use_bias=bias,
                rngs=nnx.Rngs(0),
            ),
            **arrays,
        )(x)  # fmt: skip

    def norm(self, x, name):
        settings = {"epsilon": EPSILON, "momentum": MOMENTUM, "use_running_average": True}
        settings["rngs"] = nnx.Rngs(0)
        return self.normed(x, name, nnx.BatchNorm, settings, ("scale", "bias", "mean", "var"))

    def layer_norm(self, x, name):
        settings = {"epsilon": EPSILON, "rngs": nnx.Rngs(0)}
        return self.normed(x, name, nnx.LayerNorm, settings, ("scale", "bias"))

    def normed(self, x, name, kind, settings, parts):
        n = x.shape[-1]

        def content(at):
            return lambda: self.weights.of_norm(name, n)[at]

        arrays = {part: content(at) for at, part in enumerate(parts)}
        return self.layer(name, lambda: kind(n, **settings), **arrays)(x)

    def linear(self, x, name, out):
        shape = (out, x.shape[-1])
        return self.layer(
            name,
            lambda: nnx.Linear(*shape[::-1], rngs=nnx.Rngs(0)),
            kernel=lambda: self.weights.kernel(f"{name}.weight", shape).T,
            bias=lambda: self.weights.get(f"{name}.bias", (out,), 0, 0.1),
        )(x)

    def attention(self, x, name, heads, depth):
        width = x.shape[-1]
        q, k, v = (
            (y := self.linear(x, f"{name}_{part}", heads * depth)).reshape(*y.shape[:2], heads, -1)
            for part in "qkv"
        )
        scores = jnp.einsum("blhd,bmhd->bhlm", q * depth**-0.5, k)
        y = jnp.einsum("bhlm,bmhd->blhd", jax.nn.softmax(scores), v)
        return self.linear(y.reshape(*y.shape[:2], -1), f"{name}_out", width)

    def tokens(self, x):
        return x.reshape(x.shape[0], -1, x.shape[-1])

    def mean(self, x):
        return x.mean(tuple(range(1, x.ndim - 1)))

    def max_pool(self, x):
        return nnx.max_pool(x, (3, 3), (2, 2), ((1, 1), (1, 1)))

    def halved(self, x):
        return nnx.avg_pool(x, (2, 2), (2, 2))

    def concat(self, parts):
        return jnp.concatenate(parts, -1)

    def add(self, a, b):
        return a + b

    def gelu(self, x):
        return jax.nn.gelu(x, approximate=False)

    relu, relu6 = staticmethod(jax.nn.relu), staticmethod(jax.nn.relu6)
