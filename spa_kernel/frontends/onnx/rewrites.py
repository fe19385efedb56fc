"""What must be written into an ONNX node so that it fits the pruned sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Value


@dataclass(frozen=True, slots=True)
class After:
    """Sizes and indices after a prune."""

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


Want = Callable[[After], np.ndarray | int | float | None]
"""The content that is needed after a prune; ``None`` where the present one does."""


@dataclass(frozen=True, slots=True)
class Rewrite:
    """An operand (by position) or an attribute (by name) of a node that fixes a size.

    Attributes
    ----------
    node : int
        Position in the model's list of nodes.
    slot : int or str
    want : callable
    where : str
        A person's description of the node.
    """

    node: int
    slot: int | str
    want: Want
    where: str
