"""Networks with one unusual operator each: channels go exactly, or are held for a true reason."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa

EXACT = 1e-5
Between = Callable[[torch.Tensor], torch.Tensor]


class Network(nn.Module):
    """A layer, what is tried, and another layer."""

    def __init__(self, between: Between, first: nn.Module, last: nn.Module) -> None:
        super().__init__()
        self.first, self.between, self.last = first, between, last

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(self.between(self.first(x)))


IMAGES: dict[str, tuple[Between, int, int]] = {
    "unfold": (lambda x: F.unfold(x, 3, padding=1).unflatten(2, x.shape[2:]), 4, 36),
    "fold": (lambda x: F.fold(F.unfold(x, 2, stride=2), (8, 8), 2, stride=2), 8, 8),
    "pixel unshuffle": (lambda x: F.pixel_unshuffle(x, 2), 4, 16),
    "channel shuffle": (lambda x: F.channel_shuffle(x, 2), 8, 8),
    "padded channels": (lambda x: F.pad(x, (0, 0, 0, 0, 0, 4)), 8, 12),
    "circular": (lambda x: F.pad(x, (1, 1, 1, 1), mode="circular"), 8, 8),
    "unpooling": (lambda x: F.max_unpool2d(*F.max_pool2d(x, 2, return_indices=True), 2), 8, 8),
    "fourier": (lambda x: torch.fft.irfft2(torch.fft.rfft2(x) * 2, s=(8, 8)), 8, 8),
    "median": (lambda x: x - x.median(3, keepdim=True)[0], 8, 8),
    "sampling": (lambda x: F.grid_sample(x, torch.zeros(2, 4, 4, 2).to(x)), 8, 8),
    "limits as tensors": (lambda x: torch.clamp(x, -torch.ones(()), torch.ones(())), 8, 8),
}
TOKENS: dict[str, Between] = {
    "chosen tokens": lambda x: x.gather(
        1, x.mean(-1).topk(3, 1)[1].unsqueeze(-1).expand(-1, -1, x.size(-1))
    ),
    "unit length": lambda x: F.normalize(x, dim=-1) @ x.transpose(1, 2) @ x,
    "distances": lambda x: torch.cdist(x, 2 * x) @ x,
    "sums of tokens": lambda x: torch.zeros_like(x).index_add(1, torch.tensor([0, 0, 1, 1, 2]), x),
    "tokens put in": lambda x: x.masked_scatter((x[..., :1] > 0).expand_as(x), 2 * x),
    "sorted tokens": lambda x: x.sort(1)[0],
    "causal": lambda x: torch.tril(x @ x.transpose(1, 2)) @ x,
    "equal parts": lambda x: torch.cat(x.tensor_split(2, -1)[::-1], -1),
    "written at places": lambda x: x.index_put((torch.arange(2), torch.arange(1, 3)), x[:, 0]),
}  # fmt: skip
HELD: dict[str, Between] = {
    "sorted channels": lambda x: x.sort(-1)[0],
    "running sum of channels": lambda x: x.cumsum(-1),
    "fourier of channels": lambda x: torch.fft.fft(x, dim=-1).real,
    "a literal number of copies": lambda x: x * x.mean(-1, keepdim=True).expand(2, 5, 16),
}


def exact(model: nn.Module, *shape: int) -> None:
    outcome = judge(ordinary(model), torch.randn(shape), ratio=0.5, scope="local", verify=False)
    assert not outcome.refused, outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.2


@pytest.mark.parametrize("name", IMAGES)
def test_images(name: str) -> None:
    torch.manual_seed(0)
    between, made, used = IMAGES[name]
    first = nn.Sequential(nn.Conv2d(3, made, 3, padding=1), nn.ReLU())
    exact(Network(between, first, nn.Conv2d(used, 4, 1)), 2, 3, 8, 8)


@pytest.mark.parametrize("name", TOKENS)
def test_tokens(name: str) -> None:
    torch.manual_seed(0)
    exact(Network(TOKENS[name], nn.Linear(12, 16), nn.Linear(16, 4)), 2, 5, 12)


@pytest.mark.parametrize("name", HELD)
def test_what_mixes_channels_holds_them(name: str) -> None:
    model = Network(HELD[name], nn.Linear(12, 16), nn.Linear(16, 4))
    groups = spa.analyze(model, (2, 5, 12)).groups
    assert not any(("first.weight", 0) in g.members for g in groups if g.prunable)


class Shortcut(nn.Module):
    """A shortcut that is widened with zeros, as many as an attribute says."""

    def __init__(self) -> None:
        super().__init__()
        self.more = 4
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.wide = nn.Conv2d(8, 16, 3, 2, 1)
        self.last = nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> Any:
        x = F.relu(self.first(x))
        widened = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return self.last(F.relu(self.wide(x) + widened))


def test_a_shortcut_widened_with_zeros() -> None:
    torch.manual_seed(0)
    exact(Shortcut(), 2, 3, 8, 8)


class Experts(nn.Module):
    """All experts' weights in one tensor, each used for a stretch of the tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(12, 16)
        self.up = nn.Parameter(torch.randn(2, 16, 24))
        self.down = nn.Parameter(torch.randn(2, 24, 16))
        self.last = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> Any:
        x = self.first(x)
        parts = [
            F.gelu(torch.einsum("nd,df->nf", p, w))
            for p, w in zip(x.split(5), self.up, strict=True)
        ]
        x = torch.cat([p @ w for p, w in zip(parts, self.down, strict=True)])
        return self.last(x)


def test_experts() -> None:
    torch.manual_seed(0)
    exact(Experts(), 10, 12)
