"""How large the numbers are that weights are multiplied by."""

from __future__ import annotations

from typing import Any

import numpy as np

from spa_kernel.frontends.torch.statistics.means import Means
from spa_kernel.frontends.torch.statistics.observe import Observer, observe
from spa_kernel.frontends.torch.statistics.run import Run, statistic
from spa_kernel.frontends.torch.statistics.seen import uses
from spa_kernel.graph.ir import Node


@statistic("input_norm")
def input_norm(run: Run) -> dict[str, np.ndarray]:
    means = Means()

    def see(observer: Observer, node: Node, arguments: tuple[Any, ...]) -> None:
        for way, use in uses(observer, node):
            if use.shape[2]:
                means.add(way, use.spread(use.squares()), use.shape[2])

    observe(run, see)
    return {name: means.get(name, 1.0).sqrt().cpu().numpy() for name in means.totals}
