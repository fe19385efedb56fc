"""Layers of images, most of them convolutional."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .parts import WIDEST, Apply, Choice, Kind, Made, divisor, maker, parameter


def conv(i: int, o: int, size: int = 3, groups: int = 1, bias: bool = True) -> nn.Conv2d:
    return nn.Conv2d(i, o, size, padding=size // 2, groups=groups, bias=bias)


def small(width: int, c: int) -> nn.Module:
    """A branch that keeps the width."""
    if c % 2:
        return nn.Sequential(conv(width, 6), nn.BatchNorm2d(6), nn.ReLU(), conv(6, width, 1))
    return nn.Sequential(conv(width, width), nn.SiLU())


@maker("image")
def convolution(it: Choice) -> Made:
    groups = divisor(it.width, it.new, it.c // 4) if it.c % 4 == 0 else 1
    size = 1 + 2 * (it.c % 2)
    kind = nn.ConvTranspose2d if it.c % 4 == 3 else nn.Conv2d
    layer = kind(it.width, it.new, size, padding=size // 2, groups=groups, bias=it.b % 2 == 0)
    return it.one(layer, it.new)


@maker("image")
def grouped_chain(it: Choice) -> Made:
    """Convolutions in groups of different numbers, one after the other."""
    a, b = it.pick(((4, 3), (2, 3), (2, 4), (3, 6)), it.c)
    kind = nn.ConvTranspose2d if it.b % 4 == 3 else nn.Conv2d
    return it.one(
        nn.Sequential(conv(it.width, 12, 1), nn.ReLU(), conv(12, 12, groups=a), nn.GELU(),
                      kind(12, 12, 1, groups=b), conv(12, it.new, 1)), it.new,
    )  # fmt: skip


@maker("image")
def depthwise(it: Choice) -> Made | None:
    times = 1 + it.b % 2
    if times * it.width > WIDEST:
        return None
    kind = nn.ConvTranspose2d if it.c % 4 == 3 else nn.Conv2d
    layer = kind(it.width, times * it.width, 3, padding=1, groups=it.width)
    return it.one(layer, times * it.width)


@maker("image")
def norm(it: Choice) -> Made:
    width = it.width
    layers = (
        nn.BatchNorm2d(width),
        nn.GroupNorm(divisor(width, width, it.c), width),
        nn.InstanceNorm2d(width, affine=True),
        Apply(
            lambda s, x: s.layers(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), nn.LayerNorm(width)
        ),
        nn.GroupNorm(1, width),
    )
    return it.one(it.pick(layers, it.b))


@maker("image")
def activation(it: Choice) -> Made:
    kinds = (nn.ReLU(), nn.GELU(), nn.Sigmoid(), nn.PReLU(it.width), nn.ReLU(inplace=True),
             nn.Softplus(), nn.Hardswish(), nn.ELU())  # fmt: skip
    return it.one(it.pick(kinds, it.b))


@maker("image")
def resample(it: Choice) -> Made | None:
    """Halve or double height and width."""
    if it.b % 2 and it.kind.size >= 4:
        layer = it.pick((nn.MaxPool2d(2), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(it.kind.size // 2),
                         nn.Conv2d(it.width, it.width, 3, stride=2, padding=1)), it.c)  # fmt: skip
        return layer, [it.first], [it.kind.sized(it.kind.size // 2, it.width)]
    if it.kind.size <= 4:
        layer = it.pick((nn.Upsample(scale_factor=2), nn.ConvTranspose2d(it.width, it.width, 2, 2),
                         nn.Upsample(scale_factor=2, mode="bilinear")), it.c)  # fmt: skip
        return layer, [it.first], [it.kind.sized(it.kind.size * 2, it.width)]
    return None


@maker("image")
def residual(it: Choice) -> Made:
    branch = small(it.width, it.b)
    functions = (
        lambda s, x: x + s.layers(x),
        lambda s, x: F.relu(s.layers(x) + x),
        lambda s, x: x + s.layers(x) * s.scale.view(1, -1, 1, 1),
        lambda s, x: x + s.layers(x).detach(),
        lambda s, x: torch.add(x, s.layers(x), alpha=0.5),
        lambda s, x: x.clone().add_(s.layers(x)),
    )
    return it.one(Apply(it.pick(functions, it.c), branch, scale=parameter(it.width)))


@maker("image")
def dense(it: Choice) -> Made | None:
    """Every layer gets all that was made before it."""
    growth, count = 2 + it.b % 2, 1 + it.c % 3
    if it.width + growth * count > WIDEST:
        return None

    def run(self: Any, x: torch.Tensor) -> torch.Tensor:
        found = [x]
        for layer in self.layers:
            found.append(layer(torch.cat(found, 1)))
        return torch.cat(found, 1)

    layers: list[nn.Module] = [
        nn.Sequential(nn.BatchNorm2d(it.width + i * growth), nn.ReLU(),
                      conv(it.width + i * growth, growth))
        for i in range(count)
    ]  # fmt: skip
    return it.one(Apply(run, layers), it.width + growth * count)


@maker("image")
def cross_stage(it: Choice) -> Made | None:
    """CSP and C2f: part of the channels goes through branches, all of it is joined again."""
    if it.width % 2:
        return None
    half = it.width // 2

    def csp(self: Any, x: torch.Tensor) -> torch.Tensor:
        a, b = x.chunk(2, 1)
        return torch.cat([a, self.layers[0](b)], 1)

    def c2f(self: Any, x: torch.Tensor) -> torch.Tensor:
        parts = list(x.chunk(2, 1)) if it.b % 2 else list(x.split((self.half, self.half), 1))
        parts.extend(layer(parts[-1]) for layer in self.layers)
        return torch.cat(parts, 1)

    layers = [small(half, it.b), small(half, it.c)]
    if it.c % 2:
        return it.one(Apply(csp, layers[:1]))
    return it.one(Apply(c2f, layers, half=half), 4 * half) if 4 * half <= WIDEST else None


@maker("image")
def partial(it: Choice) -> Made | None:
    """Only the first channels are convolved: split and joined, or written in place."""
    if it.width < 2:
        return None
    at = 1 + it.b % (it.width - 1)

    def joined(self: Any, x: torch.Tensor) -> torch.Tensor:
        a, b = torch.split(x, [self.at, self.rest], 1)
        return torch.cat([self.layers(a), b], 1)

    def written(self: Any, x: torch.Tensor) -> torch.Tensor:
        x = x.clone()
        x[:, : self.at] = self.layers(x[:, : self.at])
        return x

    def added(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = torch.zeros_like(x)
        y[:, : self.at] += self.layers(x[:, : self.at])
        return x + y

    function = it.pick((joined, written, added), it.c)
    return it.one(Apply(function, conv(at, at), at=at, rest=it.width - at))


@maker("image")
def combine(it: Choice) -> Made | None:
    """Two tensors of equal width, entry by entry."""
    other = it.partner(it.b, width=it.width)
    if other is None:
        return None
    functions = (
        lambda _, x, y: x + y,
        lambda _, x, y: x * y,
        lambda _, x, y: torch.maximum(x, y),
        lambda _, x, y: torch.stack([x, y]).sum(0),
        lambda _, x, y: torch.where(x > 0, x, y),
        lambda _, x, y: torch.lerp(x, y, 0.25),
        lambda _, x, y: torch.stack([x, y], 1).flatten(1, 2)[:, : x.shape[1]],
        lambda _, x, y: x.detach() - y,
    )
    return Apply(it.pick(functions, it.c)), [it.first, other], [it.kind]


@maker("image")
def concat(it: Choice) -> Made | None:
    other = it.partner(it.b)
    chosen = [it.first, *([] if other is None else [other]), *([it.first] if it.c % 3 == 0 else [])]
    total = sum(it.kinds[i].width for i in chosen)
    if total > WIDEST:
        return None
    return Apply(lambda _, *xs: torch.cat(xs, 1)), chosen, [it.kind.wide(total)]


@maker("image")
def halves(it: Choice) -> Made:
    """Parts of equal (or almost equal) size, from ``chunk``."""
    parts = 2 + it.b % 2
    pieces = [it.kind.wide(len(p)) for p in torch.arange(it.width).chunk(parts)]
    return Apply(lambda s, x: x.chunk(s.parts, 1), parts=parts), [it.first], pieces


@maker("image")
def border(it: Choice) -> Made | None:
    """Two parts with a border that is an attribute, or a number in the code."""
    if it.width < 2:
        return None
    at = 1 + it.b % (it.width - 1)
    functions = (
        lambda s, x: torch.split(x, s.sizes, 1),
        lambda s, x: (x[:, : s.at], x[:, s.at :]),
        lambda s, x: (x[:, :at], x[:, at:]),
        lambda s, x: (x.narrow(1, 0, s.at), x.narrow(1, s.at, x.shape[1] - s.at)),
    )
    layer = Apply(it.pick(functions, it.c), at=at, sizes=[at, it.width - at])
    return layer, [it.first], [it.kind.wide(at), it.kind.wide(it.width - at)]


def shuffled(self: Any, x: torch.Tensor) -> torch.Tensor:
    b, c, h, w = x.shape
    return x.view(b, self.groups, c // self.groups, h, w).transpose(1, 2).reshape(b, c, h, w)


@maker("image")
def shuffle(it: Choice) -> Made:
    groups = divisor(it.width, it.width, it.b)
    return it.one(nn.ChannelShuffle(groups) if it.c % 3 == 0 else Apply(shuffled, groups=groups))


def reduced(self: Any, x: torch.Tensor) -> torch.Tensor:
    b, c, h, w = x.shape
    y = x.reshape(b, self.groups, c // self.groups, h, w)
    return y.sum(1) if self.kind == "sum" else y.amax(2) if self.kind == "max" else y.mean(2)


@maker("image")
def fold(it: Choice) -> Made:
    """Sum, maximum or mean over groups of channels, or over the channels of a group."""
    groups, kind = divisor(it.width, it.width, it.b), it.pick(("sum", "max", "mean"), it.c)
    new = it.width // groups if kind == "sum" else groups
    return it.one(Apply(reduced, groups=groups, kind=kind), new)


@maker("image")
def pixels(it: Choice) -> Made | None:
    """Channels become positions, or the other way."""
    size, width = it.kind.size, it.width
    if it.b % 2 and size >= 4 and 4 * width <= WIDEST:
        function = lambda _, x: torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1)  # noqa: E731
        layer = Apply(function) if it.c % 2 else nn.PixelUnshuffle(2)
        return layer, [it.first], [it.kind.sized(size // 2, 4 * width)]
    if size <= 4:
        layers = [conv(width, 4 * it.new, 1), nn.PixelShuffle(2)]
        return nn.Sequential(*layers), [it.first], [it.kind.sized(2 * size, it.new)]
    return None


@maker("image")
def padded(it: Choice) -> Made | None:
    """Channels of zeros beside the others, as in shortcuts without weights."""
    before, after = it.b % 3, 1 + it.c % 3
    if it.width + before + after > WIDEST:
        return None
    amounts = [0, 0, 0, 0, before, after]
    return it.one(
        Apply(lambda s, x: F.pad(x, s.amounts), amounts=amounts), it.width + before + after
    )


@maker("image")
def reorder(it: Choice) -> Made | None:
    order = torch.randperm(it.width, generator=torch.Generator().manual_seed(it.c))
    options = (
        (1, lambda s, x: x.flip(1)),
        (2, lambda s, x: x.repeat_interleave(s.times, 1)),
        (2, lambda s, x: torch.cat([x, x.flip(1)], 1)),
        (1, lambda s, x: x.transpose(1, 3).contiguous().transpose(1, 3)),
        (2, lambda s, x: x.repeat(1, s.times, 1, 1)),
        (1, lambda s, x: x[:, s.order]),
        (1, lambda s, x: x.index_select(1, s.order)),
        (1, lambda s, x: x.roll(1, 1)),
    )
    times, function = it.pick(options, it.b)
    if times * it.width > WIDEST:
        return None
    return it.one(Apply(function, times=2, order=order), times * it.width)


@maker("image")
def gate(it: Choice) -> Made | None:
    """Channels are weighed by what is seen in all of the image."""
    width, inner = it.width, it.new
    squeeze = nn.Sequential(nn.AdaptiveAvgPool2d(1), conv(width, inner, 1), nn.ReLU(),
                            conv(inner, width, 1), nn.Sigmoid())  # fmt: skip

    def efficient(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = self.layers(x.mean((2, 3)).unsqueeze(1))
        return x * y.sigmoid().transpose(1, 2).unsqueeze(-1)

    def response(self: Any, x: torch.Tensor) -> torch.Tensor:
        size = torch.linalg.vector_norm(x, dim=(2, 3), keepdim=True)
        size = size / (size.mean(1, keepdim=True) + 1e-6)
        return x + self.scale.view(1, -1, 1, 1) * (x * size) + self.shift.view(1, -1, 1, 1)

    def linear(self: Any, x: torch.Tensor) -> torch.Tensor:
        return x * self.layers(x.mean((-1, -2)))[:, :, None, None].tanh()

    layers = (
        Apply(lambda s, x: x * s.layers(x), squeeze),
        Apply(efficient, nn.Conv1d(1, 1, 3, padding=1)),
        Apply(response, scale=parameter(width), shift=parameter(width)),
        Apply(lambda s, x: x * s.scale, scale=parameter(width, 1, 1)),
        Apply(linear, nn.Linear(width, width)),
        Apply(lambda s, x: x * s.layers(torch.cat([x.amax(1, True), x.mean(1, True)], 1)).sigmoid(),
              conv(2, 1)),
    )  # fmt: skip
    if it.c % 7 == 6:
        return it.one(nn.GLU(1), width // 2) if width % 2 == 0 else None
    return it.one(it.pick(layers, it.c))


@maker("image")
def film(it: Choice) -> Made | None:
    """Scale and shift of one tensor, worked out from a vector."""
    vectors = [i for i, k in enumerate(it.kinds) if k.form == "vector"]
    if not vectors:
        return None
    other = it.pick(vectors, it.b)

    def run(self: Any, x: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        scale, shift = self.layers(v).chunk(2, -1)
        return x * (1 + scale[..., None, None]) + shift[..., None, None]

    layer = Apply(run, nn.Linear(it.kinds[other].width, 2 * it.width))
    return layer, [it.first, other], [it.kind]


@maker("image")
def shared(it: Choice) -> Made:
    """One layer used twice, or two layers with one weight."""
    twice = conv(it.width, it.width)
    if it.c % 3 == 0:
        return it.one(Apply(lambda s, x: s.layers(F.relu(s.layers(x))), twice))
    one, two = conv(it.width, it.new), conv(it.width, it.new)
    two.weight = one.weight
    functions = (
        lambda s, x: s.layers[0](x) + s.layers[1](x).tanh(),
        lambda s, x: s.layers[0](x) * s.layers[1](x.flip(2)),
    )
    return it.one(Apply(it.pick(functions, it.c), [one, two]), it.new)


@maker("image")
def kernels(it: Choice) -> Made:
    """Weights that are worked out: normalised, standardised, repeated, joined."""
    width, new = it.width, it.new

    def standard(self: Any, x: torch.Tensor) -> torch.Tensor:
        w = self.layers.weight
        w = (w - w.mean((1, 2, 3), keepdim=True)) / (w.std((1, 2, 3), keepdim=True) + 0.1)
        return F.conv2d(x, w, self.layers.bias, padding=1)

    def repeated(self: Any, x: torch.Tensor) -> torch.Tensor:
        return F.conv2d(x, self.kernel.repeat(x.shape[1], 1, 1, 1), padding=1, groups=x.shape[1])

    def joined(self: Any, x: torch.Tensor) -> torch.Tensor:
        a, b = self.layers
        return F.conv2d(x, torch.cat([a.weight, b.weight]), torch.cat([a.bias, b.bias]), padding=1)

    if it.c % 4 == 0:
        return it.one(nn.utils.parametrizations.weight_norm(conv(width, new)), new)
    if it.c % 4 == 1:
        return it.one(Apply(standard, conv(width, new)), new)
    if it.c % 4 == 2:
        return it.one(Apply(repeated, kernel=parameter(1, 1, 3, 3)))
    return it.one(Apply(joined, [conv(width, new), conv(width, 2)]), new + 2)


@maker("image")
def to_tokens(it: Choice) -> Made | None:
    positions = it.kind.size**2
    if positions > 16:
        return None
    functions = (
        lambda _, x: x.flatten(2).transpose(1, 2),
        lambda _, x: x.permute(0, 2, 3, 1).reshape(x.shape[0], -1, x.shape[1]),
    )
    made = Kind("tokens", positions, it.width)
    return Apply(it.pick(functions, it.c)), [it.first], [made]


@maker("image")
def to_vector(it: Choice) -> Made:
    size = it.kind.size
    if it.c % 3 == 0 and size <= 4:
        layers = nn.Sequential(nn.Flatten(), nn.Linear(it.width * size * size, it.new))
        return layers, [it.first], [Kind("vector", 1, it.new)]
    functions = (lambda _, x: x.mean((2, 3)), lambda _, x: x.amax((2, 3)))
    return Apply(it.pick(functions, it.b)), [it.first], [Kind("vector", 1, it.width)]
