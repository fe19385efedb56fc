"""Means over all uses of parameters, entry by entry."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch

from spa_kernel.products.ways import Way, back


@dataclass
class Means:
    """Means over all uses of parameters, entry by entry."""

    totals: dict[str, torch.Tensor] = field(default_factory=dict)
    counts: dict[str, torch.Tensor] = field(default_factory=dict)

    def add(self, way: Way, mean: torch.Tensor, count: int) -> None:
        """One use: the mean over ``count`` numbers for each entry of the weight as it is used."""
        mean = mean.double()
        for kept, array in ((self.totals, mean * count), (self.counts, mean.new_tensor(count))):
            shape = (1,) * len(way.steps[-1].made) if way.steps else mean.shape
            array = back(array if array.ndim else array.expand(shape), way)
            name = way.parameter
            kept[name] = kept[name] + array if name in kept else array

    def get(self, name: str, otherwise: float) -> torch.Tensor:
        """The means for a parameter, and what to take for entries without a use."""
        count = self.counts[name]
        mean = self.totals[name] / count.clamp(min=1)
        return torch.where(count > 0, mean, otherwise)
