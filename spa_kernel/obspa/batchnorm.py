"""BatchNorm statistics for a network whose channels have changed.

What a BatchNorm makes of its new input is to have the mean, and more or less the variance, that the
dense network's has on the same batches. The stored statistics are carried over by what differs
between the two, so that nothing changes where nothing differs, and what is particular about the
batches cancels out: plain averages over them would take it for what is true of all inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

POWER = 0.5
"""How much of a difference in variance is made up for: at 1 all, at 0 nothing."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """Mean and variance of each channel, float64 (C,)."""

    mean: torch.Tensor
    variance: torch.Tensor


def matched(
    stored: Statistics, dense: Statistics, pruned: Statistics, epsilon: float
) -> Statistics:
    """New stored statistics.

    Parameters
    ----------
    stored : Statistics
        Of the dense network's BatchNorm, for the channels that are left.
    dense, pruned : Statistics
        Of its inputs in both networks on the same batches.
    epsilon : float
        What BatchNorm adds to the variance.
    """
    known = (dense.variance > 0) & (pruned.variance > 0)
    ratio = (pruned.variance / dense.variance.where(known, 1.0)).where(known, 1.0)
    factor = ratio.clamp(1e-2, 1e2) ** POWER
    mean = pruned.mean - (dense.mean - stored.mean) * factor.sqrt()
    return Statistics(mean, ((stored.variance + epsilon) * factor - epsilon).clamp(min=0))


class Channels:
    """Mean and variance over all positions, for each channel (axis 1), summed up."""

    def __init__(self) -> None:
        self.count = 0
        self.sum: torch.Tensor | float = 0.0
        self.squares: torch.Tensor | float = 0.0

    def add(self, x: torch.Tensor) -> None:
        """One batch."""
        x = x.double()
        others = [axis for axis in range(x.ndim) if axis != 1]
        self.count += x.numel() // max(x.shape[1], 1)
        self.sum = self.sum + x.sum(others)
        self.squares = self.squares + x.square().sum(others)

    def get(self) -> Statistics:
        """Of all batches."""
        mean = torch.as_tensor(self.sum) / self.count
        return Statistics(mean, (torch.as_tensor(self.squares) / self.count - mean**2).clamp(min=0))
