"""Forwards that an analysis easily gets wrong. A wrong result is never an answer, a refusal is.

Judged without the engine's own check, which large networks are spared.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import Outcome, judge, ordinary
from structures import IMAGE, Forward, conv, unit
from torch import nn

TRAPS: dict[str, Callable[[], nn.Module]] = {}
EXACT = 1e-6


def network(between: Callable[..., Any], **layers: Any) -> nn.Module:
    """Eight channels, something done to them, and eight channels again."""

    def forward(self: Any, x: Any) -> Any:
        x = self.deep(between(self, self.stem(x)))
        return self.last(F.adaptive_avg_pool2d(x, 1).flatten(1))

    return Forward(forward, stem=unit(3, 8), deep=unit(8, 8), last=nn.Linear(8, 4), **layers)


def summing(between: Callable[..., Any], **layers: Any) -> nn.Module:
    """Eight channels, something done to them, and their sum: what is removed must be zero."""

    def forward(self: Any, x: Any) -> Any:
        x = between(self, self.stem(x)).sum(1, keepdim=True)
        return self.last(F.adaptive_avg_pool2d(x, (2, 4)).flatten(1))

    return Forward(forward, stem=unit(3, 8), last=nn.Linear(8, 4), **layers)


def trap(build: Callable[..., nn.Module], between: Any, name: str, **layers: Any) -> None:
    TRAPS[name] = lambda: build(between, **{k: make() for k, make in layers.items()})


def number() -> nn.Parameter:
    return nn.Parameter(torch.randn(1))


def positions() -> nn.Parameter:
    return nn.Parameter(torch.randn(1, 1, 8, 8))


half = torch.tensor(0.5)
lower = torch.ones(8, 8).tril().bool()
trap(summing, lambda s, x: x + 1, "sum of x + 1")
trap(summing, lambda s, x: 1 - x, "sum of 1 - x")
trap(summing, lambda s, x: torch.add(x, 2, alpha=3), "sum with alpha")
trap(summing, lambda s, x: x.clamp(min=0.7), "sum of clamped")
trap(summing, lambda s, x: x.clamp(max=-0.1), "sum of clamped from above")
trap(summing, lambda s, x: F.hardtanh(x, 0.2, 1.0), "sum of hardtanh")
trap(summing, lambda s, x: F.threshold(x, 0.5, 3.0), "sum of threshold")
trap(summing, lambda s, x: x + s.p, "sum with a number to train", p=number)
trap(summing, lambda s, x: x + s.p, "sum with a map to train", p=positions)
trap(summing, lambda s, x: torch.maximum(x, half), "sum of maximum")
trap(summing, lambda s, x: F.pad(x, (1, 1), value=2.0), "sum of padded")
trap(summing, lambda s, x: x.masked_fill(lower, 1.0), "sum of filled")
trap(summing, lambda s, x: torch.where(lower, x, half), "sum of chosen")
trap(summing, lambda s, x: x.logsumexp((2, 3), keepdim=True), "sum of logsumexp")
trap(summing, lambda s, x: x.exp(), "sum of exp")
trap(summing, lambda s, x: x**0, "sum of powers")
trap(summing, lambda s, x: 2.0**x, "sum of exponentials")
trap(summing, lambda s, x: x.softmax(-1), "sum of softmax over positions")
trap(summing, lambda s, x: F.layer_norm(x, (8, 8)) + 0, "sum of norms over positions")
trap(summing, lambda s, x: F.gelu(x) * x.sigmoid() - x.tanh(), "sum of zeros")
trap(network, lambda s, x: x / x.shape[1], "divided by the count")
trap(network, lambda s, x: x + x.shape[1], "count added")
trap(network, lambda s, x: x * (x.sum(1, keepdim=True) / x.shape[1]), "mean by hand")
trap(network, lambda s, x: x * x.mean(1, keepdim=True), "mean")
trap(network, lambda s, x: x * torch.arange(x.shape[1]).view(-1, 1, 1), "numbered")
trap(network, lambda s, x: F.leaky_relu(x - 1, 1 / x.shape[1]), "slope by count")
trap(network, lambda s, x: x.relu() if x.shape[1] > 6 else x.sigmoid(), "branch by count")
trap(network, lambda s, x: x.cumsum(1), "running sum")
trap(network, lambda s, x: x.softmax(1), "softmax")
trap(network, lambda s, x: F.normalize(x, dim=1), "unit length")
trap(network, lambda s, x: F.local_response_norm(x, 3), "local response norm")
trap(network, lambda s, x: x.sort(1)[0], "sorted")
trap(network, lambda s, x: x.topk(8, 1)[0], "largest first")
trap(network, lambda s, x: x / (1 + x.var(1, keepdim=True)), "variance")
trap(network, lambda s, x: x * x.amax(1, keepdim=True), "maximum")
trap(network, lambda s, x: x * x.prod(1, keepdim=True), "product")
trap(network, lambda s, x: x * F.cosine_similarity(x, x.flip(1)).unsqueeze(1), "cosine")
trap(network, lambda s, x: x[:, torch.tensor([7, 6, 5, 4, 3, 2, 1, 0])], "index table")
trap(network, lambda s, x: x.index_select(1, torch.arange(8).roll(1)), "index select")
trap(network, lambda s, x: torch.cat([x[:, ::2], x[:, 1::2]], 1), "every second")
trap(network, lambda s, x: torch.cat(x.split(5, 1)[::-1], 1), "split by a number")
trap(network, lambda s, x: torch.cat(x.chunk(3, 1)[::-1], 1), "uneven chunks")
trap(network, lambda s, x: torch.cat(x.tensor_split((2, 5), 1)[::-1], 1), "tensor split")
trap(network, lambda s, x: x[:, :1].repeat(1, 8, 1, 1), "repeated by a number")
trap(network, lambda s, x: x[:, :4].repeat(1, 2, 1, 1), "repeated in blocks")
trap(network, lambda s, x: x[:, :4].repeat_interleave(2, 1), "interleaved by a number")
trap(network, lambda s, x: x[:, :4].repeat_interleave(torch.tensor([1, 2, 2, 3]), 1), "ragged")
trap(network, lambda s, x: x.view(2, 4, 2, 8, 8).amax(2).repeat(1, 2, 1, 1), "maximum of pairs")
trap(network, lambda s, x: F.conv2d(x, s.k, groups=8, padding=1), "stored filter",
     k=lambda: nn.Parameter(torch.randn(8, 1, 3, 3)))  # fmt: skip
trap(network, lambda s, x: F.conv2d(x, s.k.expand(8, -1, -1, -1), groups=8), "one filter for all",
     k=lambda: nn.Parameter(torch.randn(1, 1, 3, 3)))  # fmt: skip
trap(network, lambda s, x: F.conv2d(x, torch.ones(x.shape[1], 1, 3, 3), groups=x.shape[1]),
     "filter made on the way")  # fmt: skip
trap(network, lambda s, x: F.conv2d(x, F.normalize(s.w8.weight, dim=1)), "normalised weight",
     w8=lambda: conv(8, 8, 1))  # fmt: skip
trap(network, lambda s, x: F.conv2d(x, s.w8.weight - s.w8.weight.mean((1, 2, 3), True)),
     "centred weight", w8=lambda: conv(8, 8, 1))  # fmt: skip
trap(network, lambda s, x: s.w8(x), "weight norm",
     w8=lambda: nn.utils.parametrizations.weight_norm(conv(8, 8)))  # fmt: skip
trap(network, lambda s, x: s.w8(x), "spectral norm in training mode",
     w8=lambda: nn.utils.parametrizations.spectral_norm(conv(8, 8)))  # fmt: skip
trap(network, lambda s, x: s.w8(s.w8(x)), "one layer twice", w8=lambda: conv(8, 8))
trap(network, lambda s, x: s.w4(x[:, :4]) + s.w4(x[:, 4:]), "one layer for both halves",
     w4=lambda: conv(4, 8))  # fmt: skip
trap(network, lambda s, x: x.reshape(-1, 1, 8, 8).tanh().reshape(2, 8, 8, 8), "batch of channels")
trap(network, lambda s, x: x.view(2, 8, 4, 2, 4, 2).mean((3, 5)).repeat_interleave(2, 3),
     "blocks of positions")  # fmt: skip
trap(network, lambda s, x: x.view(2, 2, 4, 8, 8).roll(1, 1).flatten(1, 2), "rolled blocks")
trap(network, lambda s, x: (x.flatten(2) @ s.mix @ x.flatten(2).mT @ x.flatten(2)).view_as(x),
     "bilinear form", mix=lambda: nn.Parameter(torch.randn(64, 64)))  # fmt: skip
trap(network, lambda s, x: s.w1(x.mean((2, 3))[:, None]).sigmoid()[:, 0, :, None, None] * x,
     "convolution along the channels", w1=lambda: nn.Conv1d(1, 1, 3, padding=1))  # fmt: skip
trap(network, lambda s, x: (x.flatten(2).mT @ x.flatten(2) * x.shape[1] ** -0.5).softmax(-1)
     .matmul(x.flatten(2).mT).mT.reshape(x.shape), "attention without weights")  # fmt: skip


def prune(name: str, verify: bool) -> Outcome:
    model = ordinary(TRAPS[name]())
    return judge(model, torch.randn(IMAGE), ratio=0.5, scope="local", verify=verify)


@pytest.mark.parametrize("name", TRAPS)
def test_analysis_is_sound(name: str) -> None:
    outcome = prune(name, verify=False)
    assert outcome.refused or outcome.error < EXACT


@pytest.mark.parametrize("name", TRAPS)
def test_never_wrong(name: str) -> None:
    outcome = prune(name, verify=True)
    assert outcome.refused or outcome.error < EXACT


@pytest.mark.parametrize("name", TRAPS)
def test_what_is_planned_can_be_done(name: str) -> None:
    """What cannot follow a prune stays, and the rest goes."""
    refused = prune(name, verify=True).refused
    assert not refused.startswith("VerificationFailed"), refused
