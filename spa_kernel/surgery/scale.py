"""Put right what a prune made smaller or larger by a factor, in the weights.

A forward may work a number out from a size, such as the attention scale ``1 / sqrt(d)``, or
divide by a size, as a mean does. After a prune it is another number; some weights multiplied by
a factor put that right exactly.
"""

from __future__ import annotations

from math import isclose

import numpy as np
import torch

from spa_kernel.coupling.folding import Folding
from spa_kernel.errors import VerificationFailed
from spa_kernel.graph.ir import Graph, Value
from spa_kernel.surgery.compare import ScalarChange

TOGETHER = 6
"""Places in a row that are tried together where each by itself cannot be put right."""


def compensated(
    graph: Graph, changes: list[ScalarChange], stored: dict[str, torch.Tensor]
) -> dict[str, torch.Tensor]:
    """New content of the tensors that take up the changes, in float64.

    Parameters
    ----------
    graph : Graph
        Of the pruned network; its ``factors`` are noted.
    changes : list of ScalarChange
    stored : dict of str to torch.Tensor
        The pruned network's tensors, which are left as they are.

    Raises
    ------
    VerificationFailed
        A change cannot be taken up; the operators that it concerns are named.
    """
    folding = Folding(graph, (change.node for change in changes))
    found: dict[str, torch.Tensor] = {}
    stuck = changes
    for together in (kinds, singly, alike):
        stuck = [
            change
            for several in together(stuck)
            if not fold(folding, several, stored, found, graph.factors)
            for change in several
        ]
    for length in range(2, TOGETHER + 1):
        # One weight may have to put several places right at once.
        start = 0
        while start < len(stuck):
            if fold(folding, stuck[start : start + length], stored, found, graph.factors):
                del stuck[start : start + length]
            else:
                start += 1
    if stuck:
        first = stuck[0]
        raise VerificationFailed(
            f"{first.old.where} uses the number {first.after:.6g} that is worked out from a "
            f"pruned size (it was {first.before:.6g}) and cannot be folded into a weight",
            tuple(change.old for change in stuck),
        )
    return found


def kinds(changes: list[ScalarChange]) -> list[list[ScalarChange]]:
    """Changes that have the same factor whatever goes, together."""
    found: dict[bytes, list[ScalarChange]] = {}
    for change in changes:
        found.setdefault(change.kind, []).append(change)
    alone = found.pop(b"", [])
    return [*found.values(), *singly(alone)]


def singly(changes: list[ScalarChange]) -> list[list[ScalarChange]]:
    """Each by itself."""
    return [[change] for change in changes]


def alike(changes: list[ScalarChange]) -> list[list[ScalarChange]]:
    """Changes by the same factor, together."""
    found: list[list[ScalarChange]] = []
    for change in changes:
        for several in found:
            if same(several[0].factor, change.factor):
                several.append(change)
                break
        else:
            found.append([change])
    return found


def same(a: float | None, b: float | None) -> bool:
    """Whether two factors are one."""
    return a is not None and b is not None and isclose(a, b)


def fold(
    folding: Folding,
    changes: list[ScalarChange],
    stored: dict[str, torch.Tensor],
    found: dict[str, torch.Tensor],
    factors: dict[Value, np.ndarray],
) -> bool:
    """Take up changes by one same factor, if that can be done."""
    factor = changes[0].factor
    if factor is None or not all(same(c.factor, factor) for c in changes):
        return False
    exponents = folding.solve(*((c.node, c.slot) for c in changes))
    if exponents is None:
        return False
    for name, powers in exponents.items():
        data = found.get(name)
        data = stored[name].detach().double() if data is None else data
        scale = torch.from_numpy(np.float64(factor) ** powers)
        added = folding.offsets.get(name, 0.0)
        found[name] = (data + added) * scale.to(data.device) - added
    for value, powers in folding.reached.items():
        factors[value] = factors.get(value, np.ones(1)) * np.float64(factor) ** powers
    return True
