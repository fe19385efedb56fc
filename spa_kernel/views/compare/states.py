"""A model in two states, stage by stage, as plain rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spa_kernel.graph.ir import Node, Value
from spa_kernel.views.compare.stages import stages

if TYPE_CHECKING:
    from spa_kernel.coupling.result import Coupling
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session
    from spa_kernel.session.analysis import Analysis

Pair = tuple[int, int]
"""Before and after."""
LETTERS = 17
"""Of a stage's name."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer that sums products, and how many channels (features) it makes."""

    name: str
    width: Pair


@dataclass(frozen=True, slots=True)
class Stage:
    """Some places of the network together.

    Attributes
    ----------
    name : str
        A path that all of them begin with, or ``"other"``.
    flops, params : tuple of int
        Before and after.
    layers : list of Layer
    """

    name: str
    flops: Pair
    params: Pair
    layers: list[Layer]

    @property
    def ending(self) -> str:
        """As many of the last parts of the name as there is room for."""
        parts = self.name.split(".")
        while len(parts) > 1 and len(".".join(parts)) > LETTERS:
            parts = parts[1:]
        text = ".".join(parts)
        return text if text == self.name else f"…{text[-LETTERS:]}"

    @property
    def width(self) -> Pair:
        """Channels of all its layers together."""
        before, after = (sum(layer.width[i] for layer in self.layers) for i in (0, 1))
        return before, after


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a model was and is, or is and would be.

    Attributes
    ----------
    name : str
        What the model is called.
    stages : list of Stage
        FLOPs and parameters of all of them add up to those of the model.
    flops, params : tuple of int
        Of the model, before and after.
    predicted : bool
        Whether the second state is only a plan.
    """

    name: str
    stages: list[Stage]
    flops: Pair
    params: Pair
    predicted: bool

    @property
    def same(self) -> bool:
        """Whether nothing is different."""
        return self.flops[0] == self.flops[1] and self.params[0] == self.params[1]


def comparison(session: Session, plan: Plan | None = None) -> Comparison:
    """Compare the start of a session's history with now; or now with a plan.

    Parameters
    ----------
    session : Session
    plan : Plan, optional
        Of the session as it is.

    Raises
    ------
    InfeasibleTarget
        The plan is not one for this model.
    """
    if plan is None:
        before, after = State(session.history[0].analysis), State(session.analysis)
    else:
        removed = plan.mask(session.analysis.coupling)
        before, after = State(session.analysis), State(session.analysis, removed)
    places = dict.fromkeys([*before.costs, *after.costs])
    found = stages({place: before.cost(place) for place in places})
    rows = []
    for name, own in found.items():
        costs = [[state.cost(place) for place in own] for state in (before, after)]
        flops, params = ((sum(c[i] for c in costs[0]), sum(c[i] for c in costs[1])) for i in (0, 1))
        layers = [
            Layer(place(weight), (wide, after.widths.get(weight, (at, 0))[1]))
            for weight, (at, wide) in before.widths.items()
            if at in own
        ]
        rows.append(Stage(name, flops, params, layers))
    flops, params = zip(before.total, after.total, strict=True)
    return Comparison(session.name, rows, flops, params, plan is not None)


class State:
    """One state of a model.

    Attributes
    ----------
    total : tuple of int
        FLOPs and parameters.
    costs : dict of str to list of int
        Place to FLOPs and parameters, in the order of execution.
    widths : dict of str to (str, int)
        Weight to its place, and to the channels that the layer makes.
    """

    def __init__(self, analysis: Analysis, removed: np.ndarray | None = None) -> None:
        graph, coupling, cost = analysis.graph, analysis.coupling, analysis.cost
        self.total = cost.base if removed is None else (cost.flops(removed), cost.params(removed))
        users: dict[Value, str] = {}
        origins: dict[Value, Value] = {}
        self.costs: dict[str, list[int]] = {}
        for node in graph.nodes[: graph.evaluated]:
            taken = [origins.get(value, value) for value in tensors(node)]
            for value in taken:
                if value.kind == "parameter":
                    users.setdefault(value, node.name)
                    self.costs.setdefault(home(value, node.name), [0, 0])
            if len(taken) == 1 and taken[0].kind == "parameter":
                # Transposed, reshaped or cut out, it is the same weight.
                origins |= dict.fromkeys(node.outputs, taken[0])
        for value, elements in cost.tensors(removed):
            at = home(value, users.get(value, ""))
            self.costs.setdefault(at, [0, 0])[1] += elements
        self.widths: dict[str, tuple[str, int]] = {}
        for node, flops in cost.operators(removed):
            taken = [origins.get(value, value) for value in tensors(node)]
            weight = next((v for v in taken if v.kind == "parameter" and v.ndim > 1), None)
            at = path(node.name) if weight is None else home(weight, node.name)
            self.costs.setdefault(at, [0, 0])[0] += flops
            if weight is not None and weight.name not in self.widths:
                self.widths[weight.name] = at, width(node, coupling, removed)

    def cost(self, place: str) -> tuple[int, int]:
        """FLOPs and parameters of a place."""
        flops, params = self.costs.get(place, (0, 0))
        return flops, params


def tensors(node: Node) -> list[Value]:
    """What an operator works on, without numbers of the program."""
    return [value for value in node.inputs if value is not None and value.kind != "constant"]


def width(node: Node, coupling: Coupling, removed: np.ndarray | None) -> int:
    """How many channels (features) an operator makes."""
    out = node.outputs[0]
    axis = 1 if "Conv" in node.op else out.ndim - 1
    return out.shape[axis] if removed is None else coupling.size((out, axis), removed)


def place(parameter: str) -> str:
    """The module of a parameter; its own name where it belongs to none."""
    return parameter.rpartition(".")[0] or parameter


def home(value: Value, user: str) -> str:
    """Where a parameter belongs: its module, or else the operator that takes it."""
    return place(value.name) if "." in value.name else path(user) or value.name


def path(node: str) -> str:
    """The name of an operator as a dotted path."""
    return node.strip("/").replace("/", ".")
