"""What the coupling step hands on: coupled channels, their groups, and count constraints."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from spa_kernel.coupling.counts import Repairs
    from spa_kernel.graph.sizes import SizeUse

from spa_kernel.graph.ir import Axis, Graph, Value

UNUSED = "the forward does not use it with this input"
"""Why a parameter stays that no operator takes."""


@dataclass(eq=False, slots=True)
class Group:
    """Coupled channels of the same structure: they touch the same axes in the same way.

    Attributes
    ----------
    id : str
        ``"g1"``, ``"g2"``, ... in graph order.
    name : str
        The module (or ONNX name stem) of the first parameter that makes these channels.
    labels : numpy.ndarray
        int64, one label (coupled channel) per entry, in channel order.
    members : list of (str, int)
        The (parameter, axis) pairs that lose indices when a channel goes.
    prunable : bool
    reason : str
        Why not, where not prunable; ``""`` otherwise.
    blocks : int
        Into how many blocks (heads, groups of a convolution) the channels fall that choose apart
        and lose equally many; 1 for most groups.
    """

    id: str
    name: str
    labels: np.ndarray
    members: list[tuple[str, int]]
    prunable: bool = True
    reason: str = ""
    blocks: int = 1

    @property
    def size(self) -> int:
        """Number of coupled channels."""
        return len(self.labels)

    def __repr__(self) -> str:
        state = "" if self.prunable else f", frozen: {self.reason}"
        blocks = f" in {self.blocks} blocks" if self.blocks > 1 else ""
        return (
            f"Group({self.id} {self.name!r}, {self.size} channels{blocks}, "
            f"{len(self.members)} axes{state})"
        )


@dataclass(eq=False, slots=True)
class Constraint:
    """``sum(coefficients * removed[labels]) == 0`` must hold, in integers.

    The program works out a size from another one (``chunk(2)``), so that parts must lose
    equally many channels, though not the same ones.
    """

    labels: np.ndarray
    coefficients: np.ndarray
    reason: str


@dataclass(eq=False)
class Coupling:
    """Labels on every axis.

    ``axes[value, axis]`` is an int64 array (n, k): index i goes if any of its k labels goes.
    An axis that is missing cannot lose anything. Labels count from 0 to ``count - 1``.
    """

    graph: Graph
    axes: dict[Axis, np.ndarray]
    count: int
    frozen: np.ndarray
    """bool, one per label: this label never goes."""
    reasons: dict[int, str]
    """Why, for each frozen label."""
    groups: list[Group] = field(default_factory=list)
    constraints: list[Constraint] = field(default_factory=list)
    doubtful: list[SizeUse] = field(default_factory=list)
    """Sizes that held channels because nothing is known of where the number comes from."""
    fixed: dict[Axis, str] = field(default_factory=dict)
    """Why, for each stored axis that has no labels at all."""
    shared: tuple[dict[Axis, np.ndarray], int] | None = None
    """Axes and count as they were before blocks were given a choice of their own."""
    source: np.ndarray | None = None
    """For each label the one that all blocks shared before (`spa_kernel.coupling.balanced`)."""
    repairs: Repairs | None = None
    """New values of the program's attributes, where its code computes sizes from them."""

    def kept(self, axis: Axis, removed: np.ndarray) -> np.ndarray:
        """Mask of the indices of an axis that stay.

        Parameters
        ----------
        axis : (Value, int)
        removed : numpy.ndarray
            bool, one per label.
        """
        labels = self.axes.get(axis)
        if labels is None:
            return np.ones(axis[0].shape[axis[1]], dtype=bool)
        mask: np.ndarray = ~removed[labels].any(axis=1)
        return mask

    def size(self, axis: Axis, removed: np.ndarray) -> int:
        """Number of indices of an axis that stay."""
        return int(self.kept(axis, removed).sum())

    def shape(self, value: Value, removed: np.ndarray) -> tuple[int, ...]:
        """Shape of a value after pruning."""
        return tuple(self.size((value, a), removed) for a in range(value.ndim))
