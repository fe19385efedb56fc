"""What hangs together does not depend on how many samples the example input holds."""

from typing import Any

import pytest
import torch
from torch import nn

import spa_kernel as spa


class Attending(nn.Module):
    """Attention folds heads into the batch, so that sizes of both share an axis."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(12, 16)
        self.mix = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.last = nn.Linear(16, 4)

    def forward(self, x: Any) -> Any:
        x = self.embed(x)
        y, weights = self.mix(x, x, x)
        return self.last(self.norm(x + y)), weights


def groups(batch: int) -> list[Any]:
    session = spa.analyze(Attending(), torch.randn(batch, 6, 12))
    return [(g.members, g.size, g.prunable) for g in session.groups]


@pytest.mark.parametrize("batch", [2, 3])
def test_groups_are_those_of_one_sample(batch: int) -> None:
    one = groups(1)
    assert any(prunable for _, _, prunable in one)
    assert groups(batch) == one
