"""What a budget is measured in."""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Measure(Protocol):
    """Something that a network costs, for any choice of what goes.

    Attributes
    ----------
    name : str
        As the argument of `spa_kernel.plan.make_plan`, such as ``"flops"``.
    base : float
        Cost of the network as it is; an int where it is counted.
    """

    @property
    def name(self) -> str: ...

    @property
    def base(self) -> float: ...

    def count(self, removed: np.ndarray) -> float:
        """Cost after removing labels (bool mask); never more than with fewer of them removed."""
        ...

    def slope(self, removed: np.ndarray) -> np.ndarray:
        """First-order cost of each label: what removing it would save, or putting it back cost.

        Parameters
        ----------
        removed : numpy.ndarray
            bool, one per label.

        Returns
        -------
        numpy.ndarray
            float64, one per label. For a label that is there never less than what removing it
            alone saves; for one that is gone never more than what putting it back costs. Which
            labels the search tries, and when it stops, rests on this; what it takes is counted.
        """
        ...
