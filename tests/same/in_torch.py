"""The described networks of torch's layers."""

from __future__ import annotations

import torch
from described import EPSILON, MOMENTUM, RATE, Network, Weights
from torch import nn
from torch.nn import functional as F

CHANNELS_FIRST = True


def net(describe: Network, weights: Weights, shape: tuple[int, ...]) -> nn.Module:
    return Net(describe, weights, shape)


def batch(x):
    return torch.from_numpy(x)


def outputs(model, x):
    with torch.no_grad():
        return model.eval()(batch(x)).numpy()


def train(model, x, labels):
    """One epoch."""
    model.train()
    optimizer = torch.optim.Adam(model.parameters(), RATE)
    data = torch.utils.data.TensorDataset(batch(x), torch.from_numpy(labels))
    for images, targets in torch.utils.data.DataLoader(data, 32, shuffle=True):
        optimizer.zero_grad()
        F.cross_entropy(model(images), targets).backward()
        optimizer.step()


class Net(nn.Module):
    """Layers are made in a first forward."""

    def __init__(self, describe: Network, weights: Weights, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.describe, self.weights = describe, weights
        with torch.no_grad():
            self.eval()(torch.zeros(2, *shape))

    def forward(self, x):
        return self.describe(self, x)

    def layer(self, name, make, **arrays):
        if not hasattr(self, name):
            made = make()
            for part, array in arrays.items():
                getattr(made, part).data.copy_(torch.from_numpy(array()))
            self.add_module(name, made.train(self.training))
        return getattr(self, name)

    def conv(self, x, name, out, kernel=3, stride=1, groups=1, bias=False, padded=True):
        pad = kernel // 2 if padded else 0
        shape = (out, x.shape[1] // groups, kernel, kernel)
        arrays = {"weight": lambda: self.weights.kernel(f"{name}.weight", shape)}
        if bias:
            arrays["bias"] = lambda: self.weights.get(f"{name}.bias", (out,), 0, 0.1)
        return self.layer(
            name,
            lambda: nn.Conv2d(
                shape[1] * groups, out, kernel, stride, pad, groups=groups, bias=bias
            ),
            **arrays,
        )(x)

    def norm(self, x, name):
        n, parts = x.shape[1], ("weight", "bias", "running_mean", "running_var")
        return self.normed(x, name, lambda: nn.BatchNorm2d(n, EPSILON, 1 - MOMENTUM), n, parts)

    def layer_norm(self, x, name):
        n = x.shape[-1]
        return self.normed(x, name, lambda: nn.LayerNorm(n, EPSILON), n, ("weight", "bias"))

    def normed(self, x, name, make, n, parts):
        def content(at):
            return lambda: self.weights.of_norm(name, n)[at]

        return self.layer(name, make, **{part: content(at) for at, part in enumerate(parts)})(x)

    def linear(self, x, name, out):
        shape = (out, x.shape[-1])
        return self.layer(
            name,
            lambda: nn.Linear(*shape[::-1]),
            weight=lambda: self.weights.kernel(f"{name}.weight", shape),
            bias=lambda: self.weights.get(f"{name}.bias", (out,), 0, 0.1),
        )(x)

    def attention(self, x, name, heads, depth):
        width = x.shape[-1]
        q, k, v = (
            self.linear(x, f"{name}_{part}", heads * depth).unflatten(-1, (heads, -1))
            for part in "qkv"
        )
        scores = torch.einsum("blhd,bmhd->bhlm", q * depth**-0.5, k)
        y = torch.einsum("bhlm,bmhd->blhd", scores.softmax(-1), v)
        return self.linear(y.flatten(2), f"{name}_out", width)

    def tokens(self, x):
        return x.flatten(2).transpose(1, 2)

    def mean(self, x):
        return x.mean((2, 3)) if x.ndim == 4 else x.mean(1)

    def max_pool(self, x):
        return F.max_pool2d(x, 3, 2, 1)

    def halved(self, x):
        return F.avg_pool2d(x, 2)

    def concat(self, parts):
        return torch.cat(parts, 1)

    def add(self, a, b):
        return a + b

    relu, relu6, gelu = staticmethod(F.relu), staticmethod(F.relu6), staticmethod(F.gelu)
