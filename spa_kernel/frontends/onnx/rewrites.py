"""What must be written into an ONNX node so that it fits the pruned sizes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from spa_kernel.surgery.after import After

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
