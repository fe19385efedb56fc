"""What it costs to remove channels one after the other, while the others make up for it.

Removing the columns S of a weight W costs ``tr(G W_S ([H^-1]_SS)^-1 W_S^T)`` in the best case
(Hassibi and Stork's Optimal Brain Surgeon for a block of columns, as in Kurtic et al., "The
Optimal BERT Surgeon", arXiv 2203.07259); G weighs the rows. After that ``H^-1`` and W are those of
what is left. Only ``A = [H^-1]`` and ``M = W^T G W`` within the columns of a group are needed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

POOL = 4
"""Channels that one round looks at, per channel that it removes."""
ROUNDS = 64
"""Rounds for a whole group: each updates all that is left, at a cost of its square."""


@dataclass(slots=True)
class Reader:
    """What one product reads of the channels of a group.

    Attributes
    ----------
    inverse, gram : torch.Tensor
        A and M, float64 (c b, c b) for c channels that each have b columns, side by side.
    channels : torch.Tensor
        int64 (c,), their places in the group, ascending.
    """

    inverse: torch.Tensor
    gram: torch.Tensor
    channels: torch.Tensor

    @property
    def width(self) -> int:
        """Columns of each channel."""
        return len(self.gram) // max(len(self.channels), 1)

    def columns(self, places: torch.Tensor) -> torch.Tensor:
        """The columns of channels, given as indices into `channels`."""
        inner = torch.arange(self.width, device=places.device)
        return (places[:, None] * self.width + inner).flatten()

    def costs(self) -> torch.Tensor:
        """Of removing each channel alone: float64 (c,)."""
        c, b = len(self.channels), self.width
        every = torch.arange(c, device=self.gram.device)
        inverse = self.inverse.reshape(c, b, c, b)[every, :, every]
        gram = self.gram.reshape(c, b, c, b)[every, :, every]
        # trace of the inverse of a block times the other block
        solved = torch.linalg.solve(inverse, gram)
        return solved.diagonal(dim1=1, dim2=2).sum(1).clamp(min=0)

    def part(self, mask: torch.Tensor) -> Reader:
        """Only some channels, by a mask over all of the group."""
        columns = self.columns(mask[self.channels].nonzero().flatten())
        block = columns[:, None], columns
        return Reader(self.inverse[block], self.gram[block], self.channels[mask[self.channels]])

    def without(self, gone: torch.Tensor) -> Reader:
        """After the channels of a mask have gone, the others having made up for it."""
        mask = gone[self.channels]
        if not mask.any():
            return self
        out, left = (self.columns(m.nonzero().flatten()) for m in (mask, ~mask))
        between = self.inverse[out[:, None], left]
        share = torch.linalg.solve(self.inverse[out[:, None], out], between).T
        across = share @ self.gram[out[:, None], left]
        gram = self.gram[left[:, None], left] - across - across.T
        gram += share @ self.gram[out[:, None], out] @ share.T
        inverse = self.inverse[left[:, None], left] - share @ between
        return Reader(inverse, gram, self.channels[~mask])


def removal_costs(readers: list[Reader], size: int) -> np.ndarray:
    """The cost of each channel at its turn, the cheapest first.

    Parameters
    ----------
    readers : list of Reader
    size : int
        Number of channels of the group.

    Returns
    -------
    numpy.ndarray
        float64 (size,). Costs never fall from one turn to the next: where one does, as the model
        of the loss is a rough one, it is raised. Those of channels that nobody reads are zero.
    """
    found = np.zeros(size)
    device = readers[0].gram.device if readers else None
    left = torch.zeros(size, dtype=torch.bool, device=device)
    for reader in readers:
        left[reader.channels] = True
    highest, at_once = 0.0, max(1, -(-int(left.sum()) // ROUNDS))
    while left.any():
        pool = torch.zeros_like(left)
        pool[cheapest(readers, left, POOL * at_once)] = True
        near, gone = [reader.part(pool) for reader in readers], torch.zeros_like(left)
        for _ in range(min(at_once, int(left.sum()))):
            costs = total(near, size).where(pool & ~gone, torch.inf)
            first = int(costs.argmin())
            # A hair more each time, so that the order can be told.
            highest = found[first] = max(highest * (1 + 1e-9), float(costs[first]))
            one = torch.zeros_like(gone)
            one[first] = True
            gone |= one
            near = [reader.without(one) for reader in near]
        left &= ~gone
        readers = [reader.without(gone) for reader in readers]
    return found


def total(readers: list[Reader], size: int) -> torch.Tensor:
    """What removing each channel alone costs all products together: float64 (size,)."""
    costs = torch.zeros(size, dtype=torch.float64, device=readers[0].gram.device)
    for reader in readers:
        costs[reader.channels] += reader.costs()
    return costs


def cheapest(readers: list[Reader], left: torch.Tensor, count: int) -> torch.Tensor:
    """The channels that cost least among those left."""
    return total(readers, len(left)).where(left, torch.inf).argsort()[: min(count, int(left.sum()))]
