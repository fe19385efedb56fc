"""What columns cost whose weights stay what they are."""

from __future__ import annotations

import numpy as np
import torch

from spa_kernel.obspa.costs import read, unaided
from spa_kernel.obspa.greedy import removal_costs
from spa_kernel.obspa.moments import Moments


def test_columns_that_nothing_makes_up_for_cost_what_they_carry() -> None:
    rng = torch.Generator().manual_seed(0)
    x = torch.randn(1, 5, 40, generator=rng, dtype=torch.float64) + 0.5
    x[:, 3] = 0
    weight = torch.randn(1, 3, 5, generator=rng, dtype=torch.float64)
    scales = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    moments = Moments()
    moments.add(x, None, 0)
    own, channels = np.zeros((1, 5, 1), int), np.arange(5)[None, :, None]
    inverse = unaided(moments.of())
    parts = read(own, channels, inverse, weight, scales[:, None] * weight)
    found = removal_costs([reader for _, reader in parts], 5)
    lost = [float((scales[:, None] * (weight[0, :, [c]] @ x[0, [c]]) ** 2).sum()) / 40
            for c in range(5)]  # fmt: skip
    live = [0, 1, 2, 4]
    np.testing.assert_allclose(found[live], np.array(lost)[live])
