"""Chance, the line that every other criterion has to beat."""

import zlib

import numpy as np

from spa_kernel.coupling.result import Group
from spa_kernel.importance.registry import Context, criterion


@criterion("random", per="channel")
def random(context: Context, group: Group) -> np.ndarray:
    """One uniform random number per coupled channel; the seed decides which.

    Notes
    -----
    Each group has a stream of its own, made from the seed and the group's id, so a group's
    numbers depend neither on the weights nor on the other groups.
    """
    stream = np.random.default_rng([context.seed, zlib.crc32(group.id.encode())])
    return stream.random(group.size)
