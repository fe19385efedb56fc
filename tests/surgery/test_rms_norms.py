"""Root-mean-square norms that are written out, over pruned axes: exact, epsilon included.

Nothing is taken out here: the pruned network computes what the masked original computes, with
all norms in place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import Outcome, judge, ordinary
from structures import Forward
from torch import nn

import spa_kernel as spa

EXACT = 1e-10
EPS = 0.1
"""Large, so that it counts."""
SIZE = 24
TOKENS = (2, 7)
Norm = Callable[[Any, Any], Any]


def mean_square(x: Any) -> Any:
    return x.pow(2).mean(-1, keepdim=True)


def bare(x: Any) -> Any:
    return x * torch.rsqrt(mean_square(x) + EPS)


FORMS: dict[str, Norm] = {
    "rsqrt": lambda x, w: bare(x) * w,
    "weight first": lambda x, w: w * bare(x),
    "in another precision": lambda x, w: w * bare(x.to(torch.float64)).to(x.dtype),
    "divided": lambda x, w: x / (mean_square(x) + EPS).sqrt() * w,
    "negative power": lambda x, w: x * (mean_square(x) + EPS) ** -0.5 * w,
    "product with itself": lambda x, w: x / torch.sqrt((x * x).mean(-1, keepdim=True) + EPS) * w,
    "sum by size": lambda x, w: x
    * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) / x.shape[-1] + EPS) * w,
    "epsilon outside": lambda x, w: x / (mean_square(x).sqrt() + EPS) * w,
    "cut below": lambda x, w: x * mean_square(x).clamp_min(EPS).rsqrt() * w,
    "mean of sizes": lambda x, w: x / (x.abs().mean(-1, keepdim=True) + EPS) * w,
    "one plus weight": lambda x, w: bare(x) * (1.0 + w),
    "weight plus one": lambda x, w: bare(x) * (w + 1),
    "length": lambda x, w: x / x.norm(dim=-1, keepdim=True) * x.shape[-1] ** 0.5 * w,
    "unit length": lambda x, w: F.normalize(x, dim=-1) * x.shape[-1] ** 0.5 * (w + 1),
    "no weight": lambda x, w: bare(x),
}  # fmt: skip


class Layer(nn.Module):
    """Attention and a gated branch, each behind a norm."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.norm = norm
        self.scales = nn.ParameterList(torch.ones(SIZE) for _ in range(2))
        self.qkv = nn.ModuleList(nn.Linear(SIZE, SIZE) for _ in range(3))
        self.out = nn.Linear(SIZE, SIZE)
        self.gate, self.up = nn.Linear(SIZE, 32), nn.Linear(SIZE, 32, bias=False)
        self.down = nn.Linear(32, SIZE)

    def forward(self, x: Any) -> Any:
        y = self.norm(x, self.scales[0])
        q, k, v = (layer(y).unflatten(-1, (4, -1)).transpose(1, 2) for layer in self.qkv)
        y = (q @ k.mT / 3).softmax(-1) @ v
        x = x + self.out(y.transpose(1, 2).flatten(2))
        y = self.norm(x, self.scales[1])
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Language(nn.Module):
    """Embedding, positions, layers, norm, head."""

    def __init__(self, norm: Norm, *, tied: bool = False, layers: int = 1) -> None:
        super().__init__()
        self.norm = norm
        self.embedding = nn.Embedding(30, SIZE)
        self.positions = nn.Parameter(torch.randn(7, SIZE))
        self.layers = nn.ModuleList(Layer(norm) for _ in range(layers))
        self.scale = nn.Parameter(torch.ones(SIZE))
        self.head = nn.Linear(SIZE, 30, bias=False)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens: Any) -> Any:
        x = self.embedding(tokens) + self.positions
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x, self.scale))


def prune(model: nn.Module, x: torch.Tensor | None = None, **wishes: Any) -> Outcome:
    """In float64 throughout, so that no rounding of a folded weight shows."""
    x = torch.randint(0, 30, TOKENS) if x is None else x
    return judge(ordinary(model.double()), x, **{"ratio": 0.5, "scope": "local", **wishes})


def nothing_tried(_: spa.Session, report: spa.Report) -> None:
    assert not report.notes


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("form", FORMS)
def test_the_residual_stream_of_a_language_model(form: str, tied: bool) -> None:
    # Half of them without the engine's own check, so that what is wrong shows.
    outcome = prune(Language(FORMS[form], tied=tied), verify=not tied, also=nothing_tried)
    assert not outcome.refused
    assert outcome.error < EXACT
    # Head and embedding ask for opposite factors, and no weight stands between them.
    assert (outcome.lost < 0.6) == (tied and form == "no weight")


def test_more_layers() -> None:
    outcome = prune(Language(FORMS["rsqrt"], tied=True, layers=3), also=nothing_tried)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.6


def test_pruned_twice_and_undone() -> None:
    model = ordinary(Language(FORMS["one plus weight"], tied=True).double())
    tokens = torch.randint(0, 30, TOKENS)
    spa.analyze(model, tokens).prune(ratio=0.25, scope="local")
    outcome = judge(model, tokens, ratio=0.25, scope="local")
    assert not outcome.refused
    assert outcome.error < EXACT


def test_rounding_of_folded_weights_is_all_that_is_lost() -> None:
    model = ordinary(Language(FORMS["one plus weight"], tied=True))
    outcome = judge(model, torch.randint(0, 30, TOKENS), ratio=0.5, scope="local")
    assert not outcome.refused
    assert outcome.error < 1e-5


def block(forward: Callable[..., Any], **layers: Any) -> nn.Module:
    """One branch in the middle of a network on (2, 7, 12)."""
    between = lambda s, x: s.last(s.branch(s.first(x)))  # noqa: E731
    return Forward(between, first=nn.Linear(12, 16), branch=Forward(forward, **layers),
                   last=nn.Linear(16, 5))  # fmt: skip


def ones(size: int = 16) -> nn.Parameter:
    return nn.Parameter(torch.ones(size))


def heads(s: Any, x: Any) -> Any:
    """Norms of queries and keys over the entries of each head."""
    q, k, v = (layer(x).view(2, 7, 2, -1).transpose(1, 2) for layer in s.qkv)
    y = (bare(q) * s.w @ (bare(k) * s.u).mT * 0.4).softmax(-1) @ v
    return s.out(y.transpose(1, 2).flatten(2))


def routed(s: Any, x: Any) -> Any:
    """A router and its experts read the same norm."""
    y = bare(x) * s.w
    shares = s.router(y).softmax(-1)
    return x + sum(shares[..., [i]] * e(y).relu() for i, e in enumerate(s.experts))


def latent(s: Any, x: Any) -> Any:
    """A part of what a layer makes is normalised, the rest is not."""
    y, rest = s.a(x).split([8, 4], -1)
    return s.b(torch.cat([bare(y) * s.w, rest.tanh()], -1))


def gated(s: Any, x: Any) -> Any:
    """The gate is not linear, but what it meets is."""
    return s.b(bare(s.a(x) * F.silu(s.g(x))) * s.w)


def linear(i: int, o: int) -> nn.Linear:
    return nn.Linear(i, o)


BLOCKS: dict[str, Callable[[], nn.Module]] = {
    "norms of queries and keys": lambda: block(
        heads, qkv=nn.ModuleList(linear(16, 16) for _ in range(3)), out=linear(16, 16),
        w=ones(8), u=ones(8)),
    "router": lambda: block(
        routed, w=ones(), router=linear(16, 3),
        experts=nn.ModuleList(linear(16, 16) for _ in range(3))),
    "a part": lambda: block(latent, a=linear(16, 12), b=linear(12, 16), w=ones(8)),
    "gated": lambda: block(gated, a=linear(16, 16), g=linear(16, 16), b=linear(16, 16), w=ones()),
    "norm behind a layer": lambda: block(lambda s, x: x + bare(s.a(x)) * (1 + s.w),
                                         a=linear(16, 16), w=ones()),
    "norms before and behind": lambda: block(
        lambda s, x: x + bare(s.a(bare(x) * s.w)) * s.u, a=linear(16, 16), w=ones(), u=ones()),
    "no weight, layers behind": lambda: block(
        lambda s, x: x + s.a(bare(x)).tanh() @ s.b.weight, a=linear(16, 8), b=linear(16, 8)),
    "of what a norm made": lambda: block(
        lambda s, x: bare(bare(x) * s.w) * s.u, w=ones(), u=ones()),
    "shared": lambda: block(lambda s, x: x + s.a(bare(x) * s.w) + s.b(bare(x + 0) * s.w).tanh()
                            @ s.c.weight, a=linear(16, 16), b=linear(16, 8), c=linear(16, 8),
                            w=ones()),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_norms_in_a_block(name: str) -> None:
    outcome = prune(BLOCKS[name](), torch.randn(2, 7, 12, dtype=torch.float64), also=nothing_tried)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.4


def centred(x: Any) -> Any:
    return x - x.mean(-1, keepdim=True)


FROZEN: dict[str, Callable[[], nn.Module]] = {
    "layer norm": lambda: block(lambda s, x: bare(centred(x)) * s.w, w=ones()),
    "layer norm by variance": lambda: block(
        lambda s, x: centred(x) * (x.var(-1, keepdim=True) + EPS).rsqrt() * s.w, w=ones()),
    "behind what is not linear": lambda: block(lambda s, x: bare(x.tanh()) * s.w, w=ones()),
    "gate behind what is not linear": lambda: block(
        lambda s, x: bare(F.silu(x) * x.sigmoid()) * s.w, w=ones()),
    "into what is not linear": lambda: block(lambda s, x: bare(x).tanh()),
    "the stream goes elsewhere too": lambda: block(
        lambda s, x: bare(x) * s.w + x.tanh(), w=ones()),
    "a layer norm on the same stream": lambda: block(
        lambda s, x: x + bare(x) * s.w + s.n(x), w=ones(), n=nn.LayerNorm(16)),
    "weights used without the number too": lambda: block(
        lambda s, x: bare(x) * (1 + s.w) + s.w.tanh(), w=ones()),
}  # fmt: skip


@pytest.mark.parametrize("name", FROZEN)
@pytest.mark.parametrize("verify", [True, False])
def test_norms_that_nothing_makes_up_for(name: str, verify: bool) -> None:
    """The stream stays as it is, which is known before a prune."""
    model = FROZEN[name]()
    x = torch.randn(2, 7, 12, dtype=torch.float64)
    session = spa.analyze(ordinary(model.double()), x)
    stem = [g for g in session.groups if ("first.weight", 0) in g.members]
    assert stem and not stem[0].prunable
    assert "Reduce" in stem[0].reason
    outcome = prune(model, x, verify=verify)
    assert outcome.refused or outcome.error < EXACT
