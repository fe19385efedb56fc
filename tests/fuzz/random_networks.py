"""Random small networks: a list of numbers becomes a graph of layers with skip connections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

SIDE = 4
"""Height and width of every image; all layers keep them."""
WIDTHS = (2, 3, 4, 6, 8, 12)

Step = tuple[str, int, int, int]
"""What to add, and three numbers that choose operands and options."""
Maker = Callable[[list[int], int, int, int], "tuple[nn.Module, list[int], list[int]] | None"]
"""From the widths so far: a layer, its operands, and the widths of its outputs."""

MAKERS: dict[str, Maker] = {}


def maker(make: Maker) -> Maker:
    MAKERS[make.__name__] = make
    return make


class Apply(nn.Module):
    """A function of tensors with integers as attributes, and perhaps layers."""

    def __init__(self, function: Callable[..., Any], layers: Any = None, **numbers: Any) -> None:
        super().__init__()
        self.function = function
        self.layers = layers
        for name, number in numbers.items():
            setattr(self, name, number)

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(self, *tensors)


def divisor(of: int, also: int, choice: int) -> int:
    """A common divisor, larger than 1 where there is one."""
    found = [d for d in range(2, of + 1) if of % d == 0 and also % d == 0]
    return found[choice % len(found)] if found else 1


@maker
def convolution(widths: list[int], a: int, b: int, c: int) -> Any:
    i, new = a % len(widths), WIDTHS[b % len(WIDTHS)]
    groups = divisor(widths[i], new, c // 4) if c % 4 == 0 else 1
    size = 1 + 2 * (c % 2)
    kind = nn.ConvTranspose2d if c % 4 == 3 else nn.Conv2d
    layer = kind(widths[i], new, size, padding=size // 2, groups=groups, bias=b % 2 == 0)
    return layer, [i], [new]


@maker
def depthwise(widths: list[int], a: int, b: int, c: int) -> Any:
    i, times = a % len(widths), 1 + b % 2
    return nn.Conv2d(widths[i], times * widths[i], 3, padding=1, groups=widths[i]), [i], [
        times * widths[i]
    ]  # fmt: skip


@maker
def norm(widths: list[int], a: int, b: int, c: int) -> Any:
    i = a % len(widths)
    layer: nn.Module = nn.BatchNorm2d(widths[i])
    if b % 3 == 0:
        layer = nn.GroupNorm(divisor(widths[i], widths[i], c), widths[i])
    return layer, [i], [widths[i]]


@maker
def activation(widths: list[int], a: int, b: int, c: int) -> Any:
    i = a % len(widths)
    kinds = (nn.ReLU(), nn.GELU(), nn.Sigmoid(), nn.PReLU(widths[i]), nn.ReLU(inplace=True))
    return kinds[b % len(kinds)], [i], [widths[i]]


@maker
def combine(widths: list[int], a: int, b: int, c: int) -> Any:
    """Add or multiply two tensors of equal width."""
    i = a % len(widths)
    partners = [j for j, w in enumerate(widths) if w == widths[i] and j != i]
    if not partners:
        return None
    j = partners[b % len(partners)]
    functions = (
        lambda _, x, y: x + y,
        lambda _, x, y: x * y,
        lambda _, x, y: torch.maximum(x, y),
        lambda _, x, y: torch.stack([x, y]).sum(0),
    )
    return Apply(functions[c % len(functions)]), [i, j], [widths[i]]


@maker
def concat(widths: list[int], a: int, b: int, c: int) -> Any:
    chosen = [n % len(widths) for n in (a, b, c)[: 2 + c % 2]]
    total = sum(widths[i] for i in chosen)
    return (Apply(lambda _, *xs: torch.cat(xs, 1)), chosen, [total]) if total <= 24 else None


@maker
def halves(widths: list[int], a: int, b: int, c: int) -> Any:
    """Parts of equal (or almost equal) size, from ``chunk``."""
    i, parts = a % len(widths), 2 + b % 2
    pieces = [len(p) for p in torch.arange(widths[i]).chunk(parts)]
    return Apply(lambda s, x: x.chunk(s.parts, 1), parts=parts), [i], pieces


@maker
def border(widths: list[int], a: int, b: int, c: int) -> Any:
    """Two parts with a border that is an attribute, or a number in the code."""
    i = a % len(widths)
    if widths[i] < 2:
        return None
    at = 1 + b % (widths[i] - 1)
    functions = (
        lambda s, x: torch.split(x, s.sizes, 1),
        lambda s, x: (x[:, : s.at], x[:, s.at :]),
        lambda s, x: (x[:, :at], x[:, at:]),
        lambda s, x: (x.narrow(1, 0, s.at), x.narrow(1, s.at, x.shape[1] - s.at)),
    )
    layer = Apply(functions[c % 4], at=at, sizes=[at, widths[i] - at])
    return layer, [i], [at, widths[i] - at]


def shuffled(self: Any, x: torch.Tensor) -> torch.Tensor:
    b, c, h, w = x.shape
    return x.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)


def reduced(self: Any, x: torch.Tensor) -> torch.Tensor:
    b, c, h, w = x.shape
    y = x.reshape(b, self.groups, c // self.groups, h, w)
    return y.sum(1) if self.kind == "sum" else y.amax(2) if self.kind == "max" else y.mean(2)


@maker
def shuffle(widths: list[int], a: int, b: int, c: int) -> Any:
    i = a % len(widths)
    return Apply(shuffled, groups=divisor(widths[i], widths[i], b)), [i], [widths[i]]


@maker
def fold(widths: list[int], a: int, b: int, c: int) -> Any:
    """Sum, maximum or mean over groups of channels, or over the channels of a group."""
    i = a % len(widths)
    groups, kind = divisor(widths[i], widths[i], b), ("sum", "max", "mean")[c % 3]
    new = widths[i] // groups if kind == "sum" else groups
    return Apply(reduced, groups=groups, kind=kind), [i], [new]


@maker
def excite(widths: list[int], a: int, b: int, c: int) -> Any:
    i, inner = a % len(widths), WIDTHS[b % 4]
    layers = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(widths[i], inner, 1), nn.ReLU(),
                           nn.Conv2d(inner, widths[i], 1), nn.Sigmoid())  # fmt: skip
    return Apply(lambda s, x: x * s.layers(x), layers), [i], [widths[i]]


@maker
def gate(widths: list[int], a: int, b: int, c: int) -> Any:
    i = a % len(widths)
    return (nn.GLU(1), [i], [widths[i] // 2]) if widths[i] % 2 == 0 else None


@maker
def reorder(widths: list[int], a: int, b: int, c: int) -> Any:
    i = a % len(widths)
    functions = (
        (1, lambda s, x: x.flip(1)),
        (2, lambda s, x: x.repeat_interleave(s.times, 1)),
        (2, lambda s, x: torch.cat([x, x.flip(1)], 1)),
        (1, lambda s, x: x.transpose(1, 3).contiguous().transpose(1, 3)),
        (1, lambda s, x: F.avg_pool2d(F.pixel_shuffle(torch.cat([x] * 4, 1), 2), 2)),
    )
    times, function = functions[b % len(functions)]
    return Apply(function, times=2), [i], [times * widths[i]]


def attend(self: Any, x: torch.Tensor) -> torch.Tensor:
    """Self-attention over positions, fused or separate projections."""
    b, _, h, w = x.shape
    tokens = x.flatten(2).transpose(1, 2)
    n = h * w
    if self.fused:
        qkv = self.layers[0](tokens).reshape(b, n, 3, self.heads, self.dim).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
    else:
        q, k, v = (f(tokens).view(b, n, self.heads, -1).transpose(1, 2) for f in self.layers[:3])
    y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    return self.layers[-1](y).transpose(1, 2).reshape(b, -1, h, w)


@maker
def attention(widths: list[int], a: int, b: int, c: int) -> Any:
    i, heads, dim = a % len(widths), 1 + b % 3, 2 + c % 3
    wide, fused = heads * dim, b % 2 == 0
    inputs = [nn.Linear(widths[i], 3 * wide)] if fused else [
        nn.Linear(widths[i], wide) for _ in range(3)
    ]  # fmt: skip
    layers = nn.ModuleList([*inputs, nn.Linear(wide, widths[i])])
    return Apply(attend, layers, heads=heads, dim=dim, fused=fused), [i], [widths[i]]


def cross(self: Any, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Channels of one tensor attend to those of the other."""
    b, _, h, w = x.shape
    left, right = x.flatten(2), y.flatten(2)
    return ((left @ right.transpose(1, 2)).tanh() @ right).view(b, -1, h, w)


@maker
def channel_attention(widths: list[int], a: int, b: int, c: int) -> Any:
    i, j = a % len(widths), b % len(widths)
    return Apply(cross), [i, j], [widths[i]]


class RandomNetwork(nn.Module):
    """Layers by the steps of a program; every tensor made so far can be an operand."""

    def __init__(self, steps: Sequence[Step], ends: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, WIDTHS[ends % len(WIDTHS)], 3, padding=1)
        widths = [self.stem.out_channels]
        self.layers = nn.ModuleList()
        self.wires: list[list[str]] = []
        for name, a, b, c in steps:
            # Later tensors are chosen more often, so that networks get deep.
            made = MAKERS[name](widths, len(widths) - 1 - a % len(widths), b, c)
            if made is not None:
                layer, operands, new = made
                self.layers.append(layer)
                self.wires.append([str(i) for i in operands])
                widths += new
        self.ends = [str(len(widths) - 1 - i) for i in range(min(len(widths), 1 + ends % 3))]
        total = sum(widths[int(i)] for i in self.ends)
        self.head = nn.Sequential(nn.Linear(total, 6), nn.ReLU(), nn.Linear(6, 4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tensors = [self.stem(x)]
        for layer, wires in zip(self.layers, self.wires, strict=True):
            out = layer(*(tensors[int(i)] for i in wires))
            tensors.extend(out if isinstance(out, tuple | list) else [out])
        ends = torch.cat([tensors[int(i)] for i in self.ends], 1)
        result: torch.Tensor = self.head(ends.mean((2, 3)))
        return result
