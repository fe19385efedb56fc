"""Why the channels of a layer hang together, or why they cannot go."""

from __future__ import annotations

import difflib
from dataclasses import dataclass

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Axis, Value
from spa_kernel.graph.ops_probed import tried_out
from spa_kernel.views.rich import Rich

MOST = 12
"""At most this many operators are named as joints of one axis."""


@dataclass(frozen=True, slots=True, repr=False)
class Explanation(Rich):
    """What is known of a layer.

    Attributes
    ----------
    layer : str
    parts : list of (str, str or None, str, list of str)
        Per axis of the layer's tensors: the axis in words, the id of its (largest) group or
        ``None``, a sentence, and the operators that join its channels with others.
    """

    layer: str
    parts: list[tuple[str, str | None, str, list[str]]]

    def __repr__(self) -> str:
        return f"Explanation({self.layer!r}, {len(self.parts)} axes)"


def explain(coupling: Coupling, layer: str) -> Explanation:
    """Explain every axis of a module's (or one parameter's) tensors.

    Raises
    ------
    InfeasibleTarget
        No tensor has this name or stands in a module of this name.
    """
    stored = coupling.graph.stored
    values = [v for n, v in stored.items() if n == layer or n.startswith(layer + ".")]
    if not values or not layer:
        modules = {n.rpartition(".")[0] for n in stored}
        near = difflib.get_close_matches(layer, [*modules, *stored], n=3, cutoff=0.4)
        hint = f": did you mean {' or '.join(near)}?" if near else ""
        raise InfeasibleTarget(f"no layer is called {layer!r}{hint}")
    owner = np.full(coupling.count, -1)
    for i, group in enumerate(coupling.groups):
        owner[group.labels] = i
    parts = []
    for value in values:
        for axis in range(value.ndim):
            parts.extend(_part(coupling, owner, (value, axis)))
    return Explanation(layer, parts)


def _part(
    coupling: Coupling, owner: np.ndarray, axis: Axis
) -> list[tuple[str, str | None, str, list[str]]]:
    value, at = axis
    labels = coupling.axes.get(axis)
    text = f"{value.name}, axis {at} of {list(value.shape)}"
    if labels is None:
        fixed = coupling.fixed.get(axis)
        return [] if fixed is None else [(text, None, f"It cannot go: {fixed}.", [])]
    numbers, counts = np.unique(owner[labels], return_counts=True)
    order = np.argsort(-counts, kind="stable")
    groups = [coupling.groups[i] for i in numbers[order] if i >= 0]
    if not groups:
        return []
    sentence = " ".join(_sentence(g, axis) for g in groups[:3])
    if len(groups) > 3:
        sentence += f" And {len(groups) - 3} groups more."
    live = next((g for g in groups if g.prunable), None)
    joined = _joints(coupling, np.unique(labels)) if live else []
    return [(text, live.id if live else None, sentence, joined)]


def _sentence(group: Group, axis: Axis) -> str:
    if not group.prunable:
        return f"{group.size} channels cannot go: {group.reason}."
    own = (axis[0].name, axis[1])
    others = [f"{name}[{a}]" for name, a in group.members if (name, a) != own]
    shown = ", ".join(others[:4]) + (f" and {len(others) - 4} more" if len(others) > 4 else "")
    together = f" Each goes together with its index in {shown}." if others else ""
    blocks = ""
    if group.blocks > 1:
        blocks = (
            f" They fall into {group.blocks} blocks (heads, or groups of a convolution): each "
            "chooses its own, and all lose equally many."
        )
    return f"Group {group.id} has {group.size} channels, each of which can go.{blocks}{together}"


def _joints(coupling: Coupling, labels: np.ndarray) -> list[str]:
    """Operators where these channels meet channels from elsewhere."""
    found, weights = [], set(coupling.graph.stored.values())
    for node in coupling.graph.nodes:
        if all(v is None or v in weights for v in node.inputs):
            # A transposed weight is a weight.
            weights.update(node.outputs)
        operands = [v for v in node.inputs if v is not None and v not in weights]
        carrying = sum(_carries(coupling, v, labels) for v in operands)
        if carrying and tried_out(node):
            found.append(f"{node.where}: found by trying it out")
        elif carrying > 1:
            found.append(node.where)
    unique = list(dict.fromkeys(found))
    more = [f"and {len(unique) - MOST} more operators"] if len(unique) > MOST else []
    return unique[:MOST] + more


def relied_on(coupling: Coupling, removed: np.ndarray) -> list[str]:
    """Notes on operators that lose channels and that nobody described: they were tried out."""
    found: dict[str, list[str]] = {}
    for node in coupling.graph.nodes:
        values = [v for v in (*node.inputs, *node.outputs) if v is not None]
        if tried_out(node) and any(coupling.shape(v, removed) != v.shape for v in values):
            found.setdefault(node.op, []).append(node.where)
    return [
        f"what {places[0]} does to channels was found by trying it out, for every index"
        + (f"; it is called in {len(places)} places" if len(places) > 1 else "")
        for places in found.values()
    ]


def _carries(coupling: Coupling, value: Value, labels: np.ndarray) -> bool:
    for axis in range(value.ndim):
        own = coupling.axes.get((value, axis))
        if own is not None and np.isin(own[0], labels).any():
            return True
    return False
