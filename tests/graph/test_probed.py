"""What a trial has shown becomes statements; what it has not shown is fixed, with the reason."""

from __future__ import annotations

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.coupling.solver import Solver, finish
from spa_kernel.graph import Graph, Node, Value
from spa_kernel.graph.ops_probed import Trial, tried_out


def couple(node: Node) -> Coupling:
    values = [v for v in node.inputs if v is not None]
    solver = Solver(Graph(nodes=[node], stored={v.name: v for v in values}))
    solver.run()
    return finish(solver)


def node_of(trial: Trial, *shapes: tuple[int, ...], out: tuple[int, ...]) -> Node:
    inputs = tuple(Value(f"x{i}", shape, "parameter") for i, shape in enumerate(shapes))
    return Node("lib::form", inputs, (Value("y", out),), {"trial": trial}, "here")


def test_shown_relations_bind_and_the_rest_is_fixed() -> None:
    trial = Trial(
        same=(((0, 0), (0, 0)), ((0, 1), (1, 0))),
        contracted=(((0, 1), (1, 1)),),
        inputs={(0, 2): "it mixes"},
    )
    node = node_of(trial, (3, 4, 6), (5, 4), out=(3, 5))
    coupling = couple(node)
    (x, w), (y,) = node.inputs, node.outputs
    assert x is not None
    assert w is not None
    for one, other in (((y, 0), (x, 0)), ((y, 1), (w, 0)), ((x, 1), (w, 1))):
        assert np.array_equal(coupling.axes[one], coupling.axes[other])
    assert not coupling.frozen[coupling.axes[y, 0]].any()
    assert not coupling.frozen[coupling.axes[y, 1]].any()
    reasons = {coupling.reasons[i] for i in coupling.axes[x, 2].ravel()}
    assert reasons == {"nobody has described what lib::form in here does to channels; it mixes"}
    assert tried_out(node)


def test_an_axis_that_is_fixed_for_one_operand_is_fixed() -> None:
    """Though the same tensor stands for another operand as well."""
    node = node_of(Trial(same=(((0, 0), (0, 0)),), inputs={(1, 0): "no"}), (4,), out=(4,))
    node.inputs *= 2
    assert couple(node).frozen.all()


def test_a_failure_fixes_everything_and_says_so() -> None:
    node = node_of(Trial(failure="it waits"), (3, 4), out=(3, 4))
    coupling = couple(node)
    assert coupling.frozen.all()
    assert all("could not be tried out: it waits" in why for why in coupling.reasons.values())
    assert not tried_out(node)
