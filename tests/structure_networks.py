"""Small networks that hold one coupling pattern each."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from structures import IMAGE, TOKENS, Forward, conv, head, structure, unit
from torch import nn


@structure()
def plain_chain() -> nn.Module:
    return nn.Sequential(unit(3, 8), unit(8, 12), nn.MaxPool2d(2), unit(12, 8), head(8))


@structure()
def residual() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        x = F.relu(x + self.b(self.a(x)))
        y = self.down(x)
        return self.head(F.relu(y + self.d(self.c(x))))

    return Forward(
        forward, stem=unit(3, 8), a=unit(8, 6), b=conv(6, 8), down=conv(8, 12, 1, stride=2),
        c=unit(8, 10, stride=2), d=conv(10, 12), head=head(12),
    )  # fmt: skip


@structure()
def residual_in_place() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        y = self.b(torch.relu_(self.a(x)))
        y += x
        return self.head(y.relu_())

    return Forward(forward, stem=unit(3, 8), a=conv(8, 6), b=conv(6, 8), head=head(8))


@structure()
def concat() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        x = torch.cat([self.a(x), x, self.b(x)], dim=1)
        return self.head(self.last(self.norm(x)))

    return Forward(
        forward, stem=unit(3, 8), a=conv(8, 4), b=conv(8, 6, 1), norm=nn.BatchNorm2d(18),
        last=unit(18, 8), head=head(8),
    )  # fmt: skip


@structure()
def dense_block() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        parts = [self.stem(x)]
        for layer in self.layers:
            parts.append(layer(torch.cat(parts, 1)))
        return self.head(self.last(torch.cat(parts, 1)))

    layers = nn.ModuleList(
        nn.Sequential(nn.BatchNorm2d(8 + 4 * i), nn.ReLU(), conv(8 + 4 * i, 4)) for i in range(3)
    )
    return Forward(forward, stem=conv(3, 8), layers=layers, last=unit(20, 10, groups=1),
                   head=head(10))  # fmt: skip


@structure()
def depthwise() -> nn.Module:
    return nn.Sequential(unit(3, 8), unit(8, 8, groups=8), unit(8, 12), unit(12, 24, groups=12),
                         unit(24, 6), head(6))  # fmt: skip


@structure()
def grouped() -> nn.Module:
    return nn.Sequential(unit(3, 12), unit(12, 12, groups=3), unit(12, 8), unit(8, 16, groups=4),
                         unit(16, 8), head(8))  # fmt: skip


@structure()
def grouped_chain() -> nn.Module:
    """Four groups straight into three: their borders do not fall together."""
    return nn.Sequential(unit(3, 24), unit(24, 24, groups=4), unit(24, 24, groups=3), unit(24, 8),
                         unit(8, 8), head(8))  # fmt: skip


@structure()
def transposed_groups() -> nn.Module:
    return nn.Sequential(
        unit(3, 8), nn.ConvTranspose2d(8, 12, 2, stride=2), nn.ReLU(),
        nn.ConvTranspose2d(12, 6, 3, groups=3), nn.BatchNorm2d(6), nn.ReLU(), conv(6, 4), head(4),
    )  # fmt: skip


@structure()
def transposed_depthwise() -> nn.Module:
    return nn.Sequential(unit(3, 8), nn.ConvTranspose2d(8, 8, 2, stride=2, groups=8), nn.ReLU(),
                         conv(8, 6), head(6))  # fmt: skip


@structure()
def channel_shuffle() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.a(self.stem(x))
        b, c, h, w = x.shape
        x = x.view(b, 3, c // 3, h, w).transpose(1, 2).reshape(b, c, h, w)
        return self.head(self.c(self.b(x)))

    return Forward(forward, stem=unit(3, 12), a=unit(12, 12, groups=3), b=unit(12, 12, groups=3),
                   c=unit(12, 8), head=head(8))  # fmt: skip


@structure()
def shuffle_halves() -> nn.Module:
    """One half goes through, the other is worked on; then both are shuffled."""

    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        for branch in self.branches:
            left, right = x.chunk(2, dim=1)
            x = torch.cat([left, branch(right)], dim=1)
            b, c, h, w = x.size()
            x = x.view(b, 2, c // 2, h, w).transpose(1, 2).contiguous().view(b, c, h, w)
        return self.head(self.last(x))

    branches = nn.ModuleList(nn.Sequential(unit(8, 8), unit(8, 8, groups=8)) for _ in range(2))
    return Forward(forward, stem=unit(3, 16), branches=branches, last=unit(16, 8), head=head(8))


@structure()
def split_sizes() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        a, b, c = torch.split(self.stem(x), self.sizes, dim=1)
        return self.head(torch.cat([self.a(a), self.b(b), c], 1))

    return Forward(forward, stem=unit(3, 12), sizes=[4, 6, 2], a=unit(4, 6), b=unit(6, 4),
                   head=head(12))  # fmt: skip


@structure()
def narrow_and_slices() -> nn.Module:
    """Every way to take a stretch of the channels, with borders kept as an attribute."""

    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        a, b = x[:, : self.border], x[:, self.border :]
        return self.head(self.a(a) + self.b(b))

    return Forward(forward, stem=unit(3, 12), border=5, a=conv(5, 6), b=conv(7, 6), head=head(6))


@structure()
def flatten_first() -> nn.Module:
    return nn.Sequential(unit(3, 6), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(24, 10), nn.ReLU(),
                         nn.Linear(10, 4))  # fmt: skip


@structure()
def flatten_last() -> nn.Module:
    """Flattened with the channels last, as converted networks do."""

    def forward(self: Any, x: Any) -> Any:
        return self.b(F.relu(self.a(self.stem(x).permute(0, 2, 3, 1).flatten(1))))

    return Forward(forward, stem=nn.Sequential(unit(3, 6), nn.MaxPool2d(4)), a=nn.Linear(24, 10),
                   b=nn.Linear(10, 4))  # fmt: skip


@structure()
def flatten_by_view() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = F.max_pool2d(self.stem(x), 4)
        return self.b(F.relu(self.a(x.view(x.size(0), -1))))

    return Forward(forward, stem=unit(3, 6), a=nn.Linear(24, 10), b=nn.Linear(10, 4))


@structure()
def flatten_by_attribute() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = F.max_pool2d(self.stem(x), 4)
        return self.b(F.relu(self.a(x.view(-1, self.features))))

    return Forward(forward, stem=unit(3, 6), features=24, a=nn.Linear(24, 10), b=nn.Linear(10, 4))


@structure()
def squeeze_excite() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        scale = self.up(F.silu(self.down(x.mean((2, 3), keepdim=True))))
        return self.head(self.last(x * torch.sigmoid(scale)))

    return Forward(forward, stem=unit(3, 12), down=conv(12, 4, 1), up=conv(4, 12, 1),
                   last=unit(12, 8), head=head(8))  # fmt: skip


@structure()
def squeeze_excite_linear() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        b, c, _, _ = x.shape
        scale = self.up(F.relu(self.down(x.mean((-2, -1)).view(b, c)))).view(b, c, 1, 1)
        return self.head(self.last(x * scale.sigmoid().expand_as(x)))

    return Forward(forward, stem=unit(3, 12), down=nn.Linear(12, 4), up=nn.Linear(4, 12),
                   last=unit(12, 8), head=head(8))  # fmt: skip


@structure(TOKENS)
def gated_linear() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.out(F.glu(self.a(x)))
        gate, value = self.b(x).chunk(2, dim=-1)
        return self.last(F.silu(gate) * value)

    return Forward(forward, a=nn.Linear(12, 16), out=nn.Linear(8, 12), b=nn.Linear(12, 20),
                   last=nn.Linear(10, 4))  # fmt: skip


@structure()
def pixel_shuffle() -> nn.Module:
    return nn.Sequential(unit(3, 8), conv(8, 24), nn.PixelShuffle(2), nn.ReLU(), conv(6, 8),
                         nn.PixelUnshuffle(2), conv(32, 6), head(6))  # fmt: skip


@structure()
def group_norm() -> nn.Module:
    return nn.Sequential(conv(3, 12), nn.GroupNorm(3, 12), nn.ReLU(), conv(12, 8),
                         nn.GroupNorm(8, 8), conv(8, 6), nn.GroupNorm(1, 6), head(6))  # fmt: skip


@structure()
def instance_norm() -> nn.Module:
    return nn.Sequential(conv(3, 8), nn.InstanceNorm2d(8, affine=True), nn.ReLU(), conv(8, 8),
                         nn.InstanceNorm2d(8), nn.ReLU(), conv(8, 6), head(6))  # fmt: skip


@structure(TOKENS)
def tied_linear() -> nn.Module:
    """One weight used twice, the second time transposed."""

    def forward(self: Any, x: Any) -> Any:
        x = F.relu(self.a(x))
        x = F.relu(self.b(F.relu(self.mid(x))))
        return self.last(F.linear(x, self.b.weight.t()))

    model = Forward(forward, a=nn.Linear(12, 8), mid=nn.Linear(8, 10), b=nn.Linear(10, 14),
                    c=nn.Linear(10, 14), last=nn.Linear(10, 4))  # fmt: skip
    model.c.weight = model.b.weight
    return model


@structure()
def functional_conv() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = F.relu(F.conv2d(x, self.weight, self.bias, padding=1))
        return self.head(self.last(F.conv2d(x, self.deep, groups=x.shape[1])))

    return Forward(
        forward, weight=nn.Parameter(torch.randn(8, 3, 3, 3)), bias=nn.Parameter(torch.randn(8)),
        deep=nn.Parameter(torch.randn(8, 1, 3, 3)), last=unit(8, 6), head=head(6),
    )  # fmt: skip


@structure()
def stacked_outputs() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        both = torch.stack([self.a(x), self.b(x)], dim=1)
        return self.head(self.last(both.sum(1))), both.mean((2, 3, 4))

    return Forward(forward, stem=unit(3, 8), a=conv(8, 6), b=conv(8, 6), last=unit(6, 8),
                   head=head(8))  # fmt: skip


@structure()
def dict_outputs() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        return {"classes": self.head(self.a(x)), "masks": [self.b(x), {"deep": self.c(x)}]}

    return Forward(forward, stem=unit(3, 12), a=unit(12, 8), b=conv(12, 2), c=conv(12, 3),
                   head=head(8))  # fmt: skip


@structure({"image": IMAGE, "vector": (2, 5)})
def two_inputs_by_keyword() -> nn.Module:
    def forward(self: Any, *, image: Any, vector: Any) -> Any:
        scale = self.scale(F.relu(self.embed(vector)))
        return self.head(self.last(self.stem(image) * scale[:, :, None, None]))

    return Forward(forward, stem=unit(3, 12), embed=nn.Linear(5, 10), scale=nn.Linear(10, 12),
                   last=unit(12, 8), head=head(8))  # fmt: skip


@structure()
def position_table() -> nn.Module:
    """A stored table and a stored constant are added to pruned channels."""

    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.token.expand(x.shape[0], -1, -1), x], dim=1) + self.table
        return self.last(F.relu(self.deep(x * self.scale))[:, 0])

    model = Forward(
        forward, stem=unit(3, 12), token=nn.Parameter(torch.randn(1, 1, 12)),
        scale=nn.Parameter(torch.randn(12)), deep=nn.Linear(12, 10), last=nn.Linear(10, 4),
    )  # fmt: skip
    model.register_buffer("table", torch.randn(1, 65, 12))
    return model


@structure(TOKENS)
def patch_merging() -> nn.Module:
    """Neighbours are put side by side, as in Swin."""

    def forward(self: Any, x: Any) -> Any:
        x = self.embed(x)[:, :4]
        x = torch.cat([x[:, 0::2], x[:, 1::2]], dim=-1)
        return self.last(F.gelu(self.merge(self.norm(x))))

    return Forward(forward, embed=nn.Linear(12, 8), norm=nn.LayerNorm(16),
                   merge=nn.Linear(16, 10, bias=False), last=nn.Linear(10, 4))  # fmt: skip


@structure()
def literal_permutation() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)[:, [5, 3, 1, 0, 2, 4]]
        return self.head(self.last(self.deep(x)))

    return Forward(forward, stem=unit(3, 6), deep=unit(6, 12), last=unit(12, 8), head=head(8))


@structure()
def flip_channels() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        return self.head(self.last(x + x.flip(1)))

    return Forward(forward, stem=unit(3, 8), last=unit(8, 8), head=head(8))


@structure()
def roll_channels() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        return self.head(self.last(self.deep(self.stem(x).roll(2, dims=1))))

    return Forward(forward, stem=unit(3, 8), deep=unit(8, 12), last=unit(12, 8), head=head(8))


@structure()
def repeated_channels() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        return self.head(self.last(torch.cat([x.repeat(1, 2, 1, 1), x], 1)))

    return Forward(forward, stem=unit(3, 8), last=unit(24, 8), head=head(8))


@structure()
def gram_matrix() -> nn.Module:
    """Channels against channels, summed over positions, then over one side."""

    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        a, b = self.a(x).flatten(2), self.b(x).flatten(2)
        return self.last((a @ b.transpose(1, 2)).tanh().sum(1))

    return Forward(forward, stem=unit(3, 8), a=conv(8, 6), b=conv(8, 10), last=nn.Linear(10, 4))


@structure((2, 6, 5))
def lstm() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        return self.last(F.relu(self.a(self.rnn(self.embed(x))[0])))

    return Forward(forward, embed=nn.Linear(5, 8), rnn=nn.LSTM(8, 10, batch_first=True),
                   a=nn.Linear(10, 12), last=nn.Linear(12, 4))  # fmt: skip


@structure((2, 6, 5))
def gru_both_ways() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        rnn = self.rnn(self.embed(x))[0]
        return self.last(F.relu(self.a(rnn)))

    return Forward(forward, embed=nn.Linear(5, 8), a=nn.Linear(12, 16), last=nn.Linear(16, 4),
                   rnn=nn.GRU(8, 6, batch_first=True, bidirectional=True))  # fmt: skip


@structure((2, 3, 16))
def one_dimension() -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(3, 8, 3), nn.BatchNorm1d(8), nn.GELU(), nn.Conv1d(8, 8, 3, groups=8),
        nn.AvgPool1d(2), nn.Conv1d(8, 12, 1), nn.ReLU(), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
        nn.Linear(12, 4),
    )  # fmt: skip


@structure((2, 2, 4, 6, 6))
def three_dimensions() -> nn.Module:
    return nn.Sequential(
        nn.Conv3d(2, 6, 3, padding=1), nn.BatchNorm3d(6), nn.ReLU(), nn.MaxPool3d(2),
        nn.Conv3d(6, 8, 1), nn.ReLU(), nn.AdaptiveAvgPool3d(1), nn.Flatten(), nn.Linear(8, 4),
    )  # fmt: skip


@structure()
def upsampled_pyramid() -> nn.Module:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        y = self.up(self.low(F.avg_pool2d(x, 2)))
        y = F.interpolate(y, scale_factor=2, mode="bilinear")
        return self.out(F.relu(self.side(x) + y))

    return Forward(forward, stem=unit(3, 8), low=unit(8, 12), up=conv(12, 6, 1), side=conv(8, 6),
                   out=conv(6, 2))  # fmt: skip
