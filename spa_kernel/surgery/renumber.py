"""Stored tables of positions: after a prune they count along an axis that got shorter."""

from __future__ import annotations

import numpy as np
import torch

from spa_kernel.coupling.result import Coupling


def renumbered(coupling: Coupling, removed: np.ndarray) -> dict[str, torch.Tensor]:
    """New contents of the stored index tables whose axis, or target, loses something.

    Parameters
    ----------
    coupling : Coupling
    removed : numpy.ndarray
        bool, one per label.
    """
    found: dict[str, torch.Tensor] = {}
    for node in coupling.graph.nodes:
        table, data = (*node.inputs, None, None)[1::-1]
        if not node.attrs.get("renumber") or table is None or data is None:
            continue
        assert table.data is not None
        axis = node.attrs["axis"]
        target = coupling.kept((data, axis), removed)
        if not target.all():
            # Positions may be counted from the back.
            old = table.data[coupling.kept((table, 0), removed)] % len(target)
            found[table.name] = torch.from_numpy((np.cumsum(target) - 1)[old])
    return found
