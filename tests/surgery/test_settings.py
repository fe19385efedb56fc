"""Sizes that a forward reads from settings: objects, dictionaries, nested tuples."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa


@dataclass(frozen=True)
class Data:
    heads: int
    inner: int
    act: Callable[..., Any] = F.gelu


class Named(NamedTuple):
    heads: int
    inner: int


class Object:
    """As configurations are written by hand, with another one inside."""

    def __init__(self, heads: int, inner: int) -> None:
        self.text = SimpleNamespace(sizes=(heads, [inner]), name="text", dtype=torch.float32)


KINDS: dict[str, tuple[Callable[..., Any], Callable[[Any], tuple[int, int]]]] = {
    "dataclass": (Data, lambda c: (c.heads, c.inner)),
    "namedtuple": (Named, lambda c: (c.heads, c.inner)),
    "namespace": (lambda h, i: SimpleNamespace(heads=h, inner=i), lambda c: (c.heads, c.inner)),
    "dictionary": (lambda h, i: {"heads": h, "inner": i}, lambda c: (c["heads"], c["inner"])),
    "numpy": (lambda h, i: [np.int64(h), np.int32(i)], lambda c: (c[0], c[1])),
    "nested": (Object, lambda c: (c.text.sizes[0], c.text.sizes[1][0])),
}


class Attention(nn.Module):
    """Two layers of attention with one settings object."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        make, self.read = KINDS[kind]
        self.config = make(4, 32)
        self.qkv = nn.ModuleList(nn.Linear(16, 96) for _ in range(2))
        self.out = nn.ModuleList(nn.Linear(32, 16) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, length, _ = x.shape
        heads, inner = self.read(self.config)
        for qkv, out in zip(self.qkv, self.out, strict=True):
            parts = qkv(x).view(batch, length, 3, heads, inner // heads).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(*parts.unbind(0))
            x = x + out(y.transpose(1, 2).reshape(batch, length, inner))
        return x


@pytest.mark.parametrize("kind", KINDS)
def test_settings_follow(kind: str) -> None:
    torch.manual_seed(0)
    model = Attention(kind)
    before = copy.deepcopy(model.config)
    pruned: list[Any] = []
    outcome = judge(
        ordinary(model),
        torch.randn(2, 5, 16),
        ratio=0.5,
        scope="local",
        also=lambda session, report: pruned.append(copy.deepcopy(model.read(model.config))),
    )
    # Weights that take up the attention scale are rounded to float32.
    assert outcome.error < 1e-6
    assert pruned == [(2, 8)]
    assert [type(n) for n in pruned[0]] == [type(n) for n in model.read(before)]
    assert model.read(model.config) == model.read(before)


def test_layers_that_read_one_number_change_together() -> None:
    """The heads of both layers are one number in the settings."""
    session = spa.analyze(Attention("namespace"), (2, 5, 16))
    report = session.prune(ratio=0.25, scope="local", groups=["qkv.0"])
    widths = {name: axes for name, axes in report.plan.kept.items() if name.startswith("qkv")}
    assert len({len(axes[0]) for axes in widths.values()}) == 1


class Functional(nn.Module):
    """Sizes that functions were made with."""

    def __init__(self, way: str) -> None:
        super().__init__()
        heads, dim = 4, 8
        self.project, self.out = nn.Linear(16, 32), nn.Linear(32, 16)
        if way == "partial":
            self.split = partial(split_heads, heads=heads, dim=dim)
        else:
            self.split = lambda x: split_heads(x, heads, dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.split(self.project(x)).softmax(1)
        return self.out(y.flatten(2))


def split_heads(x: torch.Tensor, heads: int, dim: int) -> torch.Tensor:
    return x.view(x.shape[0], x.shape[1], heads, dim)


@pytest.mark.parametrize("way", ["partial", "closure"])
def test_sizes_in_functions_follow(way: str) -> None:
    torch.manual_seed(0)
    outcome = judge(ordinary(Functional(way)), torch.randn(2, 5, 16), ratio=0.5, scope="local")
    assert outcome.error < 1e-9
    assert outcome.lost > 0.4
