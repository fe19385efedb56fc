"""Layers of sequences and vectors that are no attention."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .parts import WIDEST, Apply, Choice, Kind, Made, divisor, maker, parameter


def mlp(width: int, inner: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


@maker("tokens")
def linear(it: Choice) -> Made:
    if it.c % 4 == 3:
        layers = nn.Conv1d(it.width, it.new, 3, padding=1)
        run = lambda s, x: s.layers(x.transpose(1, 2)).transpose(1, 2)  # noqa: E731
        return it.one(Apply(run, layers), it.new)
    return it.one(nn.Linear(it.width, it.new, bias=it.c % 2 == 0), it.new)


@maker("tokens")
def token_norm(it: Choice) -> Made:
    width = it.width
    layers = (
        nn.LayerNorm(width),
        nn.RMSNorm(width),
        nn.Sequential(nn.LayerNorm(width, elementwise_affine=False), nn.Linear(width, width)),
        Apply(lambda s, x: s.layers(x.transpose(1, 2)).transpose(1, 2), nn.BatchNorm1d(width)),
    )
    return it.one(it.pick(layers, it.b))


@maker("tokens")
def feed_forward(it: Choice) -> Made:
    """Residual, with the kinds of gates that language models have."""
    width, inner = it.width, it.new

    def gated(self: Any, x: torch.Tensor) -> torch.Tensor:
        return x + self.layers[2](F.silu(self.layers[0](x)) * self.layers[1](x))

    def halved(self: Any, x: torch.Tensor) -> torch.Tensor:
        a, b = self.layers[0](x).chunk(2, dim=-1)
        return x + self.layers[1](a * F.gelu(b))

    lin = nn.Linear
    layers = (
        Apply(lambda s, x: x + s.layers(x), mlp(width, inner)),
        Apply(gated, [lin(width, inner), lin(width, inner), lin(inner, width)]),
        Apply(halved, [lin(width, 2 * inner), lin(inner, width)]),
        Apply(lambda s, x: x + s.scale * s.layers(x), mlp(width, inner), scale=parameter(width)),
        nn.Sequential(lin(width, 2 * inner), nn.GLU(), lin(inner, width)),
    )
    return it.one(it.pick(layers, it.c))


@maker("tokens")
def token_mixing(it: Choice) -> Made:
    """An MLP over the positions (MLP-Mixer, gMLP)."""
    size, width = it.kind.size, it.width

    def gating(self: Any, x: torch.Tensor) -> torch.Tensor:
        u, v = self.layers[0](x).chunk(2, -1)
        v = self.layers[1](v.transpose(1, 2)).transpose(1, 2)
        return self.layers[2](u * v)

    mixer = Apply(lambda s, x: x + s.layers(x.transpose(1, 2)).transpose(1, 2), mlp(size, it.new))
    layers = [nn.Linear(width, 2 * it.new), nn.Linear(size, size), nn.Linear(it.new, width)]
    return it.one(Apply(gating, layers) if it.c % 2 else mixer)


@maker("tokens")
def token_merging(it: Choice) -> Made | None:
    """Neighbours become one token with more channels."""
    size, width = it.kind.size, it.width
    if size % 2 or 2 * width > WIDEST:
        return None
    functions = (
        lambda _, x: torch.cat([x[:, 0::2], x[:, 1::2]], -1),
        lambda _, x: x.reshape(x.shape[0], x.shape[1] // 2, 2 * x.shape[2]),
    )
    merged = [
        Apply(it.pick(functions, it.b)),
        nn.LayerNorm(2 * width),
        nn.Linear(2 * width, it.new),
    ]
    if it.c % 2:
        return nn.Sequential(*merged), [it.first], [it.kind.sized(size // 2, it.new)]
    return merged[0], [it.first], [it.kind.sized(size // 2, 2 * width)]


@maker("tokens")
def recurrent(it: Choice) -> Made:
    both = it.c % 3 == 0
    kind = (nn.LSTM, nn.GRU)[it.b % 2]
    layer = kind(it.width, it.new, num_layers=1 + it.c % 2, bidirectional=both, batch_first=True)
    return it.one(Apply(lambda s, x: s.layers(x)[0], layer), (1 + both) * it.new)


@maker("tokens")
def experts(it: Choice) -> Made:
    """Mixtures: all experts weighed, the best one chosen, or one product for all of them."""
    width, inner, count = it.width, it.new, 2 + it.b % 2

    def weighed(self: Any, x: torch.Tensor) -> torch.Tensor:
        weights = self.gate(x).softmax(-1)
        found = torch.stack([e(x) for e in self.layers], -1)
        return x + (found * weights.unsqueeze(-2)).sum(-1)

    def chosen(self: Any, x: torch.Tensor) -> torch.Tensor:
        weights, which = self.gate(x).softmax(-1).max(-1, keepdim=True)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.layers):
            out = out + torch.where(which == i, weights * expert(x), 0.0)
        return x + out

    def routed(self: Any, x: torch.Tensor) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        weights, which = self.gate(flat).softmax(-1).topk(1, dim=-1)
        out = torch.zeros_like(flat)
        for i, expert in enumerate(self.layers):
            row, slot = torch.where(which == i)
            out.index_add_(0, row, expert(flat[row]) * weights[row, slot, None])
        return x + out.view_as(x)

    def joined(self: Any, x: torch.Tensor) -> torch.Tensor:
        weights = self.gate(x).softmax(-1)
        hidden = F.relu(torch.einsum("bnc,ech->bneh", x, self.up))
        return x + torch.einsum("bneh,ehc,bne->bnc", hidden, self.down, weights)

    gate = nn.Linear(width, count)
    if it.c % 4 == 3:
        up, down = parameter(count, width, inner), parameter(count, inner, width)
        return it.one(Apply(joined, gate=gate, up=up, down=down))
    layers: list[nn.Module] = [mlp(width, inner) for _ in range(count)]
    return it.one(Apply(it.pick((weighed, chosen, routed), it.c), layers, gate=gate))


@maker("tokens")
def token_pair(it: Choice) -> Made | None:
    """Two sequences of equal length, joined or added."""
    other = it.partner(it.b, width=it.width) if it.c % 2 else it.partner(it.b)
    if other is None:
        return None
    if it.c % 2:
        functions = (
            lambda _, x, y: x + y,
            lambda _, x, y: x * y,
            lambda _, x, y: torch.minimum(x, y),
        )
        return Apply(it.pick(functions, it.c // 2)), [it.first, other], [it.kind]
    total = it.width + it.kinds[other].width
    if total > WIDEST:
        return None
    return Apply(lambda _, x, y: torch.cat([x, y], -1)), [it.first, other], [it.kind.wide(total)]


@maker("tokens")
def token_split(it: Choice) -> Made | None:
    if it.width < 2:
        return None
    at = 1 + it.b % (it.width - 1)
    groups = divisor(it.width, it.width, it.b)
    functions = (
        (lambda s, x: x.tensor_split(2, -1), [-(-it.width // 2), it.width // 2]),
        (lambda s, x: torch.split(x, s.sizes, -1), [at, it.width - at]),
        (lambda s, x: x.unflatten(-1, (s.groups, -1)).unbind(2), [it.width // groups] * groups),
        (lambda s, x: (x[..., 0::2], x[..., 1::2]), [-(-it.width // 2), it.width // 2]),
    )
    function, widths = it.pick(functions, it.c)
    layer = Apply(function, sizes=[at, it.width - at], groups=groups)
    return layer, [it.first], [it.kind.wide(w) for w in widths]


@maker("tokens")
def token_positions(it: Choice) -> Made:
    """What is added to every sequence: a table, a first token, a buffer."""
    width, size = it.width, it.kind.size
    functions = (
        lambda s, x: x + s.table,
        lambda s, x: torch.cat([s.first.expand(x.shape[0], -1, -1), x], 1)[:, : x.shape[1]],
        lambda s, x: x + s.waves[: x.shape[1]],
        lambda s, x: x + s.layers(torch.arange(x.shape[1])),
        lambda s, x: x * s.table.sigmoid(),
    )
    layer = Apply(
        it.pick(functions, it.c), nn.Embedding(size, width), table=parameter(1, size, width),
        first=parameter(1, 1, width), waves=torch.randn(size, width),
    )  # fmt: skip
    return it.one(layer)


@maker("tokens")
def token_tied(it: Choice) -> Made:
    """A projection and its transpose, or one layer used twice."""
    layer = nn.Linear(it.width, it.new)
    functions = (
        lambda s, x: F.linear(F.gelu(s.layers(x)), s.layers.weight.t()),
        lambda s, x: x + s.layers(x).relu() @ s.layers.weight,
        lambda s, x: s.extra(F.relu(s.extra(x))),
        lambda s, x: x + s.extra(x).detach(),
    )
    return it.one(Apply(it.pick(functions, it.c), layer, extra=nn.Linear(it.width, it.width)))


@maker("tokens")
def token_to_image(it: Choice) -> Made | None:
    side = round(it.kind.size**0.5)
    if side * side != it.kind.size:
        return None

    def run(self: Any, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(1, 2).reshape(x.shape[0], -1, self.side, self.side)

    return Apply(run, side=side), [it.first], [Kind("image", side, it.width)]


@maker("tokens")
def token_to_vector(it: Choice) -> Made:
    functions = (
        lambda _, x: x.mean(1),
        lambda _, x: x[:, 0],
        lambda s, x: (s.layers(x).softmax(1) * x).sum(1),
    )
    layer = Apply(it.pick(functions, it.c), nn.Linear(it.width, 1) if it.c % 3 == 2 else None)
    return layer, [it.first], [Kind("vector", 1, it.width)]


@maker("vector")
def vector_layer(it: Choice) -> Made:
    width, new = it.width, it.new
    if it.c % 4 == 3:
        run = lambda s, x: s.layers[1](x, s.layers[0](x))  # noqa: E731
        return it.one(Apply(run, [nn.Linear(width, new), nn.Bilinear(width, new, new)]), new)
    layers = (
        nn.Sequential(nn.Linear(width, new), nn.BatchNorm1d(new), nn.ReLU()),
        nn.Sequential(nn.Linear(width, new), nn.Tanh()),
        nn.Sequential(nn.Linear(width, new), nn.LayerNorm(new), nn.Dropout(0.5)),
    )
    return it.one(it.pick(layers, it.c), new)


@maker("vector")
def vector_pair(it: Choice) -> Made | None:
    other = it.partner(it.b)
    if other is None or it.width + it.kinds[other].width > WIDEST:
        return None
    wide = it.width + it.kinds[other].width
    if it.c % 2 and it.width * it.kinds[other].width <= WIDEST:
        # All products of an entry of one with an entry of the other.
        wide = it.width * it.kinds[other].width
        outer = lambda _, x, y: (x.unsqueeze(2) * y.unsqueeze(1)).flatten(1)  # noqa: E731
        return Apply(outer), [it.first, other], [it.kind.wide(wide)]
    return Apply(lambda _, x, y: torch.cat([x, y], 1)), [it.first, other], [it.kind.wide(wide)]
