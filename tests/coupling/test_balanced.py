"""Blocks that choose apart: heads their own head dimensions, groups their own channels."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import reference
import torch
from torch import nn
from torch.nn import functional as F

import spa_kernel as spa
from spa_kernel.coupling.solver import couple

TOKENS = torch.randn(2, 6, 32, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Around(nn.Module):
    """A layer with a layer before it, one after it, and a skip."""

    def __init__(self, inner: nn.Module, width: int = 32) -> None:
        super().__init__()
        self.before, self.inner = nn.Linear(32, width), inner
        self.after = nn.Linear(width, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.before(x)
        out: torch.Tensor = self.after(x + self.inner(x))
        return out


class Attention(nn.Module):
    """Fused or separate projections; ``order``: how (q/k/v, head, head dimension) are laid out."""

    def __init__(self, order: str = "3hd", heads: int = 4, keys: int = 4, norm: bool = False):
        super().__init__()
        self.order, self.heads, self.keys, self.size = order, heads, keys, 32 // heads
        self.qkv = nn.Linear(32, (heads + 2 * keys) * self.size)
        self.out = nn.Linear(32, 32)
        self.norm = nn.LayerNorm(self.size) if norm else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        y = self.qkv(x)
        if self.order == "3hd":
            q, k, v = y.view(b, t, 3, self.heads, self.size).permute(2, 0, 3, 1, 4)
        elif self.order == "h3d":
            q, k, v = y.view(b, t, self.heads, 3, self.size).permute(3, 0, 2, 1, 4)
        elif self.order == "3dh":
            q, k, v = y.view(b, t, 3, self.size, self.heads).permute(2, 0, 4, 1, 3)
        else:
            q, k, v = y.split([self.heads * self.size, *[self.keys * self.size] * 2], -1)
            q = q.view(b, t, -1, self.size).transpose(1, 2)
            k, v = (z.view(b, t, -1, self.size).transpose(1, 2) for z in (k, v))
            each = self.heads // self.keys
            k, v = (
                z[:, :, None].expand(b, z.shape[1], each, t, self.size).reshape(b, -1, t, self.size)
                for z in (k, v)
            )
        scores = self.norm(q) @ self.norm(k).transpose(-1, -2)
        y = (0.3 * scores).softmax(-1) @ v
        out: torch.Tensor = self.out(y.transpose(1, 2).reshape(b, t, -1))
        return out


class PerHead(nn.Module):
    """A projection split into heads, and something done to them."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.size = what, 8
        self.into = nn.Linear(32, 32)
        self.mix = nn.Linear(4, 4)
        self.out = nn.Linear({"gram": 16, "half": 16}.get(what, 32), 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        y = self.into(x).view(b, t, -1, self.size)
        match self.what:
            case "gram":
                y = y @ y.transpose(-1, -2)
            case "mixed":
                y = y.transpose(-1, -2)
                y = (y + self.mix(y)).transpose(-1, -2)
            case "norm over heads":
                y = F.layer_norm(y.transpose(-1, -2), (4,)).transpose(-1, -2)
            case "half":
                a, c = y.chunk(2, -1)
                y = a * c.sigmoid()
            case "interleaved":
                y = y.transpose(-1, -2)
        out: torch.Tensor = self.out(y.reshape(b, t, -1))
        return out


def head(width: int) -> list[nn.Module]:
    return [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 10)]


def grouped() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 64, 3, groups=4), nn.BatchNorm2d(64), nn.Conv2d(64, 32, 1), *head(32),
    )  # fmt: skip


def nested() -> nn.Module:
    """Groups in groups, a depthwise multiplier, and a transposed convolution."""
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.Conv2d(32, 64, 3, groups=4), nn.ReLU(),
        nn.Conv2d(64, 32, 3, groups=8), nn.Conv2d(32, 64, 1, groups=32),
        nn.ConvTranspose2d(64, 64, 2, groups=4), *head(64),
    )  # fmt: skip


def normed() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 32, 3), nn.GroupNorm(8, 32), nn.ReLU(),
        nn.Conv2d(32, 64, 3), nn.GroupNorm(8, 64), nn.ReLU(), *head(64),
    )  # fmt: skip


APART = {
    "3hd": (lambda: Around(Attention("3hd")), TOKENS, {4: 2}),
    "h3d": (lambda: Around(Attention("h3d")), TOKENS, {4: 2}),
    "grouped queries": (lambda: Around(Attention("", 8, 2)), TOKENS, {2: 2}),
    "half": (lambda: Around(PerHead("half")), TOKENS, {4: 1}),
    "plain": (lambda: Around(PerHead("plain")), TOKENS, {4: 1}),
    "grouped": (grouped, IMAGES, {4: 1}),
    "nested": (nested, IMAGES, {8: 1, 32: 1}),
    "normed": (normed, IMAGES, {8: 2}),
    "encoder": (
        lambda: nn.Sequential(
            nn.Linear(32, 32), nn.TransformerEncoderLayer(32, 4, 64), nn.Linear(32, 3)
        ),
        TOKENS,
        {4: 2},
    ),
}
"""Network, input, and how many groups fall into so many blocks."""

TOGETHER = {
    # The blocks come after the indices that they would choose: what stays would be out of order.
    "3dh": (lambda: Around(Attention("3dh")), TOKENS),
    "interleaved": (lambda: Around(PerHead("interleaved")), TOKENS),
    # Entries of different heads meet.
    "gram": (lambda: Around(PerHead("gram")), TOKENS),
    "mixed": (lambda: Around(PerHead("mixed")), TOKENS),
    "norm over heads": (lambda: Around(PerHead("norm over heads")), TOKENS),
}


def sizes(session: spa.Session) -> dict[int, int]:
    """How many prunable groups there are of each number of blocks."""
    found: dict[int, int] = {}
    for group in session.groups:
        if group.prunable and group.blocks > 1:
            found[group.blocks] = found.get(group.blocks, 0) + 1
    return found


@pytest.mark.parametrize("name", APART)
def test_blocks_choose_apart(name: str) -> None:
    build, x, wanted = APART[name]
    assert sizes(spa.analyze(build(), x)) == wanted


@pytest.mark.parametrize("name", TOGETHER)
def test_blocks_that_meet_choose_together(name: str) -> None:
    build, x = TOGETHER[name]
    assert sizes(spa.analyze(build(), x)) == {}


@pytest.mark.parametrize("criterion", ["l1", "random"])
@pytest.mark.parametrize("name", [*APART, *TOGETHER])
def test_exact(name: str, criterion: str) -> None:
    build, x = (APART | TOGETHER)[name][:2]
    torch.manual_seed(0)
    model = reference.ordinary(build())
    for wishes in ({"ratio": 0.5, "scope": "local"}, {"ratio": 0.4}, {"params": 1.6}):
        outcome = reference.judge(model, x, criterion=criterion, seed=1, **wishes)
        assert not outcome.refused
        assert outcome.error < 1e-6 and outcome.lost > 0.1


def test_queries_need_not_share_a_choice_with_values_nor_heads_with_heads() -> None:
    torch.manual_seed(0)
    model = reference.ordinary(Around(Attention()))
    session = spa.analyze(model, TOKENS)
    plan = session.plan(ratio=0.5, scope="local")
    rows = np.zeros(96, dtype=int)
    rows[plan.kept["inner.qkv.weight"][0]] = 1
    each = rows.reshape(3, 4, 8)
    heads = each.any(axis=(0, 2))
    each = each[:, heads]
    assert (each.sum(axis=2) == 4).all()
    assert (each[0] == each[1]).all() and (each[0] != each[2]).any()
    assert any((each[0, 0] != other).any() for other in each[0, 1:])


def test_a_shared_parameter_keeps_queries_and_keys_together_but_not_values() -> None:
    """The norm has one weight per head dimension, which all heads use."""
    session = spa.analyze(Around(Attention(norm=True)), TOKENS)
    groups = [g for g in session.groups if g.blocks > 1]
    assert [g.blocks for g in groups] == [4]
    assert ("inner.out.weight", 1) in groups[0].members


def test_widths_are_multiples_in_each_head_but_in_all_groups_of_a_convolution() -> None:
    session = spa.analyze(Around(Attention()), TOKENS)
    plan = session.plan(ratio=0.4, scope="local", round_to=4, max_ratio=0.99)
    for group in (g for g in session.groups if g.prunable):
        after = plan.widths[group.id][1]
        assert after % 4 == 0
        if group.blocks > 1:
            assert (after // group.blocks) % 4 == 0
    session = spa.analyze(grouped(), IMAGES)
    (group,) = (g for g in session.groups if g.blocks > 1)
    plan = session.plan(ratio=0.2, scope="local", round_to=8, groups=group)
    assert plan.widths[group.id] == (64, 56)


def test_a_plan_survives_being_written() -> None:
    model = reference.ordinary(Around(Attention()))
    twin = copy.deepcopy(model)
    plan = spa.analyze(model, TOKENS).plan(ratio=0.5, scope="local")
    other = spa.analyze(twin, TOKENS)
    assert spa.Plan.from_json(plan.to_json()) == plan
    other.prune(spa.Plan.from_json(plan.to_json()))
    assert reference.error(model, plan.kept, twin, TOKENS) < 1e-6


def test_unequal_blocks_are_refused() -> None:
    session = spa.analyze(Around(Attention()), TOKENS)
    coupling = session.analysis.coupling
    removed = np.zeros(coupling.count, dtype=bool)
    (group, *_) = (g for g in session.groups if g.blocks > 1)
    removed[group.labels[0]] = True
    plan = spa.Plan.from_mask(coupling, session.analysis.cost, removed)
    with pytest.raises(spa.InfeasibleTarget, match="equally many"):
        session.prune(plan)


def test_what_is_held_back_is_shared_again() -> None:
    session = spa.analyze(Around(Attention()), TOKENS)
    analysis = session.analysis
    node = next(n for n in analysis.graph.nodes if n.op == "Softmax")
    assert analysis.hold([node], "a test")
    assert not any(g.blocks > 1 and g.reason == "a test" for g in session.groups)
    held = [g for g in session.groups if g.reason == "a test"]
    assert held and not any(g.prunable for g in held)
    plan = session.plan(ratio=0.5, scope="local")
    assert plan.params[1] < plan.params[0]


def test_a_person_is_told() -> None:
    session = spa.analyze(Around(Attention()), TOKENS)
    assert "4 × 8" in session._repr_mimebundle_()["text/html"]
    texts = [text for _, _, text, _ in session.explain("inner.qkv").parts]
    assert any("4 blocks" in text for text in texts)


def test_more_blocks_cost_no_more_search() -> None:
    """Hundreds of groups that lose channels in step are one class for the planner."""
    model = nn.Sequential(nn.Conv2d(3, 256, 1), nn.Conv2d(256, 1024, 1, groups=256), *head(1024))
    session = spa.analyze(model, IMAGES)
    (group,) = (g for g in session.groups if g.blocks > 1)
    assert (group.size, group.blocks) == (1024, 256)
    plan = session.plan(ratio=0.5, scope="local", groups=group)
    assert plan.widths[group.id] == (1024, 512)


def test_the_same_coupling_twice() -> None:
    graph = spa.analyze(Around(Attention()), TOKENS).analysis.graph
    one, two = couple(graph), couple(graph)
    assert [g.labels.tolist() for g in one.groups] == [g.labels.tolist() for g in two.groups]
    assert len(one.constraints) == len(two.constraints)
