"""Numbers that a forward works out from a pruned size are folded into weights, exactly."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import Outcome, judge, ordinary
from structures import Forward, conv, head, unit
from torch import nn

import spa_kernel as spa

EXACT = 1e-12
DOUBLE = torch.float64
TOKENS = (2, 5, 12)
IMAGE = (2, 3, 8, 8)
Network = Callable[[], nn.Module]


def prune(model: nn.Module, *shape: int, **wishes: Any) -> Outcome:
    """In float64 throughout, so that no rounding of a folded weight shows."""
    model = ordinary(model.double())
    x = torch.randn(shape, dtype=torch.float64)
    return judge(model, x, **{"ratio": 0.5, "scope": "local", **wishes})


def attention(scores: Callable[..., Any], **layers: Any) -> nn.Module:
    """Three heads of eight, and scores as a function of (self, q, k)."""

    def forward(self: Any, x: Any) -> Any:
        b, n, _ = x.shape
        q, k, v = (layer(x).view(b, n, 3, -1).transpose(1, 2) for layer in self.qkv)
        y = scores(self, q, k).softmax(-1) @ v
        return self.out(y.transpose(1, 2).reshape(b, n, -1))

    qkv = nn.ModuleList(nn.Linear(12, 24) for _ in range(3))
    return Forward(forward, qkv=qkv, out=nn.Linear(24, 4), **layers)


def size(q: Any) -> int:
    return int(q.shape[-1])


def number(n: int) -> torch.Tensor:
    return torch.tensor(float(n), dtype=DOUBLE)


FORMS: dict[str, Callable[..., Any]] = {
    "divided": lambda s, q, k: q @ k.mT / math.sqrt(size(q)),
    "divided in place": lambda s, q, k: (q @ k.mT).div_(math.sqrt(size(q))),
    "multiplied": lambda s, q, k: q @ k.mT * size(q) ** -0.5,
    "query first": lambda s, q, k: (q * size(q) ** -0.5) @ k.mT,
    "key first": lambda s, q, k: q @ (k.mT / math.sqrt(size(q))),
    "both": lambda s, q, k: (q / size(q) ** 0.25) @ (k.mT / size(q) ** 0.25),
    "root of a tensor": lambda s, q, k: q @ k.mT / torch.sqrt(number(2 * size(q))),
    "rsqrt of a tensor": lambda s, q, k: q @ k.mT * torch.rsqrt(number(size(q))),
    "power of a tensor": lambda s, q, k: q @ k.mT * number(size(q)).pow(-0.5),
    "filled": lambda s, q, k: q @ k.mT / torch.full([], math.sqrt(size(q)), dtype=DOUBLE),
    "table": lambda s, q, k: q @ k.mT * torch.arange(6.0)[1:] / torch.full(
        (5,), size(q) ** 0.5, dtype=DOUBLE),
    "table that changes": lambda s, q, k: q @ k.mT * (torch.arange(1.0, 6.0).double() / size(q)),
    "number on the left": lambda s, q, k: size(q) ** -0.5 * q @ k.mT,
    "einsum": lambda s, q, k: torch.einsum("bhid,bhjd->bhij", q, k) * size(q) ** -0.5,
    "alpha of a product": lambda s, q, k: torch.baddbmm(
        torch.ones(1, 5, 5).double(), q.flatten(0, 1), k.flatten(0, 1).mT,
        beta=0.5, alpha=size(q) ** -0.5).view(-1, 3, 5, 5),
    "alpha of a sum": lambda s, q, k: torch.add(
        torch.ones(5, 5).double(), q @ k.mT, alpha=size(q) ** -0.5),
    "alpha of a difference": lambda s, q, k: torch.sub(
        torch.ones(5, 5).double(), q @ k.mT, alpha=size(q) ** -0.5),
    "fused": lambda s, q, k: F.scaled_dot_product_attention(q, k, k) @ k.mT,
    "fused with a mask": lambda s, q, k: F.scaled_dot_product_attention(
        q, k, k, attn_mask=torch.ones(5, 5).double().triu()) @ k.mT,
    "fused with a scale": lambda s, q, k: F.scaled_dot_product_attention(
        q, k, k, scale=3 / size(q)) @ k.mT,
    "masked afterwards": lambda s, q, k: (q @ k.mT / math.sqrt(size(q))).masked_fill(
        torch.ones(5, 5).triu(1).bool(), -1e9),
    "masked before": lambda s, q, k: (q @ k.mT).masked_fill(
        torch.ones(5, 5).triu(1).bool(), -math.inf) / math.sqrt(size(q)),
    "one head for all": lambda s, q, k: q @ k[:, :1].mT / math.sqrt(size(q)),
    "one head, looked up": lambda s, q, k: q @ k[:, [-1]].expand_as(q).mT / math.sqrt(size(q)),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_a_scale(form: str) -> None:
    outcome = prune(attention(FORMS[form]), *TOKENS)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.4


def rotated(x: Any) -> Any:
    """Rotary positions; the angles differ by position only, so that channels can go in pairs."""
    angle = torch.arange(5.0).double()[:, None]
    first, second = x.chunk(2, -1)
    return x * angle.cos() + torch.cat([-second, first], -1) * angle.sin()


def placed(change: Callable[..., Any], **layers: Any) -> Network:
    """Queries that go through something before they are scaled."""
    return lambda: attention(
        lambda s, q, k: change(s, q) @ k.mT / math.sqrt(size(q)),
        **{name: make() for name, make in layers.items()},
    )


def ones(*shape: int) -> Callable[[], nn.Parameter]:
    return lambda: nn.Parameter(torch.ones(shape))


PLACES: dict[str, Network] = {
    "rotary": placed(lambda s, q: rotated(q)),
    "relu": placed(lambda s, q: F.leaky_relu(q).relu()),
    "absolute": placed(lambda s, q: q.abs()),
    "cut at zero": placed(lambda s, q: q.clamp(min=0)),
    "negative": placed(lambda s, q: -q),
    "times a parameter": placed(lambda s, q: q * s.w, w=ones(3, 1, 1)),
    "times a buffer": placed(lambda s, q: q * torch.arange(1.0, 6.0).double()[:, None]),
    "plus a parameter": placed(lambda s, q: q + s.w, w=ones(3, 1, 1)),
    "plus itself": placed(lambda s, q: q + 2 * q.relu()),
    "difference": placed(lambda s, q: q - q.flip(-2)),
    "divided by a parameter": placed(lambda s, q: q / s.w, w=ones(3, 1, 1)),
    "gated": placed(lambda s, q: q * q.mean(-2, keepdim=True).sigmoid()),
    "concatenated": placed(lambda s, q: torch.cat([q[:, :1], q[:, 1:]], 1)),
    "flipped": placed(lambda s, q: q.flip(1)),
    "permuted": placed(lambda s, q: q[:, torch.tensor([2, 0, 1])]),
    "repeated": placed(lambda s, q: q[:, :1].repeat(1, 3, 1, 1)),
    "rolled": placed(lambda s, q: q.roll(1, 2)),
    "padded": placed(lambda s, q: F.pad(q[:, :, 1:], (0, 0, 1, 0))),
    "filled": placed(lambda s, q: q.masked_fill(torch.eye(5)[0][:, None].bool(), 0.0)),
    "chosen": placed(lambda s, q: torch.where(torch.eye(5)[0][:, None].bool(), q, -q)),
    "average of positions": placed(lambda s, q: q + q.mean(-2, keepdim=True)),
    "largest of positions": placed(lambda s, q: q + q.amax(-2, keepdim=True)),
    "running sum of positions": placed(lambda s, q: q.cumsum(-2)),
    "unit length times a parameter": placed(
        lambda s, q: F.normalize(q, dim=-1) * s.w, w=ones(3, 1, 1)),
    "softmax times a parameter": placed(lambda s, q: q.softmax(-2) * s.w, w=ones(3, 1, 1)),
    "written to": placed(lambda s, q: q.clone().mul_(2).add_(q)),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_places_between_the_weights_and_the_scale(place: str) -> None:
    outcome = prune(PLACES[place](), *TOKENS)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.4


def scaled(between: Callable[..., Any], **layers: Any) -> Network:
    """Eight channels, divided by their number, and what takes them up."""

    def forward(self: Any, x: Any) -> Any:
        return self.head(between(self, self.stem(x)))

    return lambda: Forward(
        forward, stem=conv(3, 8), head=head(8), **{k: make() for k, make in layers.items()}
    )


def kernel(*shape: int) -> Callable[[], nn.Parameter]:
    return lambda: nn.Parameter(torch.randn(shape))


CHANNELS: dict[str, Network] = {
    "batch norm behind": scaled(lambda s, x: s.bn(x.relu() / x.shape[1]),
                                bn=lambda: nn.BatchNorm2d(8)),
    "batch norm in front": scaled(lambda s, x: s.bn(x).relu() / x.shape[1],
                                  bn=lambda: nn.BatchNorm2d(8)),
    "group norm in front": scaled(lambda s, x: s.gn(x) / x.shape[1],
                                  gn=lambda: nn.GroupNorm(8, 8)),
    "grouped": scaled(lambda s, x: s.c(x).relu() / x.shape[1], c=lambda: conv(8, 8, groups=2)),
    "depthwise": scaled(lambda s, x: s.c(x).relu() / x.shape[1], c=lambda: conv(8, 8, groups=8)),
    "transposed": scaled(lambda s, x: s.c(x) / x.shape[1],
                         c=lambda: nn.ConvTranspose2d(8, 8, 2, stride=2, groups=2)),
    "pooled": scaled(lambda s, x: (F.max_pool2d(x, 2) + F.avg_pool2d(x, 2)) / x.shape[1]),
    "resized": scaled(lambda s, x: F.interpolate(x, scale_factor=2) / x.shape[1]),
    "shuffled": scaled(lambda s, x: s.c(x / x.shape[1]).relu(),
                       c=lambda: nn.Sequential(nn.PixelShuffle(2), conv(2, 8))),
    "weights used twice": scaled(lambda s, x: s.c(s.c(x).relu() / x.shape[1]),
                                 c=lambda: conv(8, 8)),
    "only what follows": scaled(
        lambda s, x: F.conv2d((x + 1).sigmoid() / x.shape[1], s.k), k=kernel(8, 8, 1, 1)),
    "what follows later": scaled(
        lambda s, x: F.conv2d((F.gelu(x) / x.shape[1]).relu().flip(2), s.k, s.b),
        k=kernel(8, 8, 1, 1), b=kernel(8)),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANNELS)
def test_scaled_channels(name: str) -> None:
    outcome = prune(CHANNELS[name](), *IMAGE)
    assert not outcome.refused
    assert outcome.error < EXACT


NONLINEAR: dict[str, Callable[..., Any]] = {
    "gelu": F.gelu,
    "shifted": lambda x: x + 0.3,
    "cubed": lambda x: x**3,
    "divided without a rest": lambda x: torch.div(x, 0.7, rounding_mode="floor"),
    "cut": lambda x: x.clamp(-0.1, 0.2),
    "square root": lambda x: x.abs().sqrt(),
    "filled": lambda x: x.masked_fill(torch.eye(8).bool(), 0.4),
    "product with itself": lambda x: x * x,
    "integers": lambda x: (4 * x).int().double(),
    "variance": lambda x: x + x.var((2, 3), keepdim=True),
}


@pytest.mark.parametrize("name", NONLINEAR)
@pytest.mark.parametrize("behind", [True, False])
def test_what_is_not_linear_is_never_wrong(name: str, behind: bool) -> None:
    """Whichever way the factor would have to go; without the engine's own check."""
    f = NONLINEAR[name]

    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        x = f(x / x.shape[1]) if behind else f(x) / x.shape[1]
        return self.head(torch.sigmoid(x) if not behind else x)

    model = Forward(forward, stem=conv(3, 8), head=head(8))
    outcome = prune(model, *IMAGE, verify=False)
    assert outcome.refused or outcome.error < EXACT


def mean_gate(gate: Callable[..., Any], **layers: Any) -> Network:
    def forward(self: Any, x: Any) -> Any:
        x = self.stem(x)
        return self.head(self.last(x * gate(self, x)))

    return lambda: Forward(
        forward, stem=unit(3, 8), last=unit(8, 8), head=head(8),
        **{k: make() for k, make in layers.items()},
    )  # fmt: skip


def both(x: Any) -> Any:
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)


MEANS: dict[str, Network] = {
    "mean": mean_gate(lambda s, x: x.mean(1, keepdim=True)),
    "mean of everything": mean_gate(lambda s, x: x.mean((1, 2, 3), keepdim=True)),
    "mean by hand": mean_gate(lambda s, x: x.sum(1, keepdim=True) / x.shape[1]),
    "mean into a gate": mean_gate(lambda s, x: s.c(x.mean(1, keepdim=True)).sigmoid(),
                                  c=lambda: conv(1, 1)),
    "mean and maximum into a gate": mean_gate(lambda s, x: s.c(both(x)).sigmoid(),
                                              c=lambda: conv(2, 1, 7)),
    "maximum": mean_gate(lambda s, x: x.amax(1, keepdim=True)),
    "maximum of products": mean_gate(
        lambda s, x: (x * x.mean((2, 3), keepdim=True).sigmoid()).max(1, keepdim=True)[0]),
    "mean of squares": mean_gate(lambda s, x: x.square().mean(1, keepdim=True)),
}  # fmt: skip


@pytest.mark.parametrize("name", MEANS)
def test_means_and_maxima_of_channels(name: str) -> None:
    outcome = prune(MEANS[name](), *IMAGE)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.5


STATISTICS: dict[str, Callable[..., Any]] = {
    "root mean square": lambda x: x * torch.rsqrt(x.pow(2).mean(1, keepdim=True) + 1e-6),
    "centred": lambda x: x - x.mean(1, keepdim=True),
    "layer norm": lambda x: (x - x.mean(1, keepdim=True))
    / (x.var(1, keepdim=True) + 1e-6).sqrt(),
    "mean into a sigmoid": lambda x: x * x.sigmoid().mean(1, keepdim=True).sigmoid(),
    "mean into a nonlinear sum": lambda x: F.gelu(x + x.mean(1, keepdim=True)),
    "smallest": lambda x: x * x.amin(1, keepdim=True),
    "largest of any sign": lambda x: x * F.gelu(x - 0.5).amax(1, keepdim=True),
    "softmax": lambda x: x * x.softmax(1),
}  # fmt: skip


@pytest.mark.parametrize("name", STATISTICS)
def test_statistics_that_no_factor_puts_right_are_frozen_at_once(name: str) -> None:
    f = STATISTICS[name]
    model = Forward(
        lambda s, x: s.head(s.last(f(s.stem(x).tanh()))),
        stem=conv(3, 8), last=conv(8, 6), head=head(6),
    )  # fmt: skip
    model = ordinary(model)
    session = spa.analyze(model, torch.randn(IMAGE))
    stem = [g for g in session.groups if ("stem.weight", 0) in g.members]
    assert stem and not stem[0].prunable
    report = session.prune(ratio=0.5, scope="local")
    assert not report.notes, "nothing has to be tried"
    assert report.verified


def test_means_that_weights_can_take_up_are_known_before_a_prune() -> None:
    session = spa.analyze(MEANS["mean into a gate"](), torch.randn(IMAGE))
    notes = session.prune(ratio=0.5, scope="local").notes
    assert not notes


def test_one_weight_for_several_scales() -> None:
    """Position scores that share the projections: only all three at once come out right."""

    def forward(self: Any, x: Any) -> Any:
        q, k, p = self.q(x), self.k(x), self.positions
        scale = math.sqrt(q.shape[-1])
        scores = q @ k.mT / scale + q @ self.k(p).mT / scale + self.q(p) @ k.mT / scale
        return self.out(scores.softmax(-1) @ self.v(x))

    model = Forward(
        forward, q=nn.Linear(12, 8), k=nn.Linear(12, 8), v=nn.Linear(12, 8),
        out=nn.Linear(8, 4), positions=nn.Parameter(torch.randn(5, 12)),
    )  # fmt: skip
    outcome = prune(model, *TOKENS)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.4


def test_rounding_of_folded_weights_is_all_that_is_lost() -> None:
    model = ordinary(attention(FORMS["divided"]))
    outcome = judge(model, torch.randn(TOKENS), ratio=0.5, scope="local")
    assert not outcome.refused
    assert outcome.error < 1e-6


def test_the_network_can_be_pruned_again_and_the_factors_add_up() -> None:
    model = ordinary(attention(FORMS["multiplied"]).double())
    x = torch.randn(TOKENS, dtype=torch.float64)
    session = spa.analyze(model, x)
    session.prune(ratio=0.25, scope="local")
    outcome = judge(model, x, ratio=0.25, scope="local")
    assert not outcome.refused
    assert outcome.error < EXACT
