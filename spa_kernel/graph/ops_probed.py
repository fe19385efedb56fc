"""Operators that nobody described, as far as trying them out has shown what they do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from spa_kernel.graph.ir import Axis, Node
from spa_kernel.graph.operators import (
    TRIED,
    Contract,
    Fixed,
    Same,
    Statement,
    Summed,
    Zero,
    operator,
)

Place = tuple[int, int]
"""Number of an operand (or of an output) and one of its axes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What trying an operator out has shown; kept in the node's ``attrs["trial"]``.

    Attributes
    ----------
    same : tuple of (Place, Place)
        Output axis and operand axis: index i of the one goes with index i of the other.
    contracted : tuple of tuple of Place
        Operand axes that are summed over, alone or together.
    zero : str
        Where removed entries of the outputs are zero.
    inputs, outputs : dict of Place to str
        What was found out about axes that can lose nothing.
    failure : str
        Why nothing could be tried; all axes are fixed then.
    """

    same: tuple[tuple[Place, Place], ...] = ()
    contracted: tuple[tuple[Place, ...], ...] = ()
    zero: Zero = "never"
    inputs: dict[Place, str] = field(default_factory=dict)
    outputs: dict[Place, str] = field(default_factory=dict)
    failure: str = ""

    @property
    def something(self) -> bool:
        """Whether any axis may lose indices."""
        return bool(self.same or self.contracted)


MIXED = "trying it out numerically did not show that its indices are kept apart there"


def tried_zero(node: Node) -> Zero:
    trial: Trial = node.attrs["trial"]
    return trial.zero


@operator(TRIED, zero=tried_zero)
def tried(node: Node) -> Iterator[Statement]:
    trial: Trial = node.attrs["trial"]
    unknown = f"nobody has described what {node.where} does to channels"
    if trial.failure:
        unknown = f"{unknown}, and it could not be tried out: {trial.failure}"
    free: set[Axis] = set()
    for (o, a), (i, b) in trial.same:
        pair = (node.outputs[o], a), operand(node, i, b)
        free.update(pair)
        yield Same(*pair)
    for places in trial.contracted:
        first, *others = (operand(node, i, b) for i, b in places)
        free.update((first, *others))
        if not others:
            yield Summed(first)
        for other in others:
            yield Contract(first, other)
    for values, shown in ((node.inputs, trial.inputs), (node.outputs, trial.outputs)):
        for i, value in enumerate(values):
            for axis in range(value.ndim if value is not None else 0):
                assert value is not None
                why = "" if trial.failure else f"; {shown.get((i, axis), MIXED)}"
                if (value, axis) not in free or (i, axis) in shown:
                    yield Fixed((value, axis), unknown + why)


def operand(node: Node, i: int, axis: int) -> Axis:
    value = node.inputs[i]
    assert value is not None
    return value, axis


def tried_out(node: Node) -> bool:
    """Whether the node's relation was found by trying it out."""
    trial: Trial | None = node.attrs.get("trial")
    return trial is not None and trial.something
