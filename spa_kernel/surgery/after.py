"""Sizes and indices after a prune."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Value


@dataclass(frozen=True, slots=True)
class After:
    """What is left of each tensor."""

    coupling: Coupling
    removed: np.ndarray

    def kept(self, value: Value, axis: int) -> np.ndarray:
        """Mask of the indices that stay."""
        return self.coupling.kept((value, axis), self.removed)

    def size(self, value: Value, axis: int) -> int:
        return self.coupling.size((value, axis), self.removed)

    def shape(self, value: Value) -> tuple[int, ...]:
        return self.coupling.shape(value, self.removed)

    def losses(self, value: Value) -> dict[int, np.ndarray]:
        """The masks of those axes that lose something."""
        masks = {axis: self.kept(value, axis) for axis in range(value.ndim)}
        return {axis: mask for axis, mask in masks.items() if not mask.all()}

    def cut(self, value: Value, array: np.ndarray) -> np.ndarray:
        """The entries of an array, shaped like the value, that stay."""
        for axis, mask in self.losses(value).items():
            array = np.compress(mask, array, axis=axis)
        return array

    def renumber(self, value: Value, axis: int, index: np.ndarray) -> np.ndarray:
        """The new positions of indices of an axis; -1 for those that go."""
        mask = self.kept(value, axis)
        new: np.ndarray = np.where(mask, np.cumsum(mask) - 1, -1)[index]
        return new
