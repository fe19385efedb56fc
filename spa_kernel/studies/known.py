"""Scores that were worked out before, as a criterion."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.importance.registry import Context, Criterion

Key = tuple[tuple[tuple[str, int], ...], int]


class Known:
    """Finds a group's scores by what the group cuts, in the same model or in a copy of it.

    Parameters
    ----------
    coupling : Coupling
        Of the model that was scored.
    scores : mapping of str to numpy.ndarray
        By group id, normalised; as `Session.importance` returns them.
    """

    def __init__(self, coupling: Coupling, scores: Mapping[str, np.ndarray]) -> None:
        self.scores: dict[Key, list[np.ndarray | None]] = {}
        for group in coupling.groups:
            self.scores.setdefault(key(group), []).append(scores.get(group.id))

    def criterion(self, of: Criterion) -> Criterion:
        """These scores, which are of a criterion, as one to be used with ``norm="none"``."""
        return Criterion(
            "known",
            self,
            per="channel",
            cost_weight=of.cost_weight,
            reconstruct=of.reconstruct,
        )

    def __call__(self, context: Context, group: Group) -> np.ndarray | None:
        """Scores of one group."""
        # Parts of a concatenation may be alike: the first is the first.
        alike = [
            other
            for other in context.coupling.groups
            if other.size == group.size and other.members == group.members
        ]
        own = self.scores.get(key(group), [])
        if len(own) == len(alike):
            return own[alike.index(group)]
        if not group.prunable:
            return np.zeros(group.size)
        raise InfeasibleTarget(
            f"{group.id} ({group.name}) was no group of its own when the model was scored, as some "
            "channels turned out not to follow: analyse the model again, prune it once, and study "
            "it then"
        )


def key(group: Group) -> Key:
    """What tells a group from others."""
    return tuple(group.members), group.size
