"""Branches that are always taken are pruned; those that are chosen when the model runs stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_judge import EXACT, drawn, judge, outputs

import spa_kernel as spa
from spa_kernel.frontends.onnx.written import inline

node, info = helper.make_node, helper.make_tensor_value_info
RNG = np.random.default_rng(0)


def weight(name: str, *shape: int) -> onnx.TensorProto:
    array = RNG.standard_normal(shape) * 0.4
    return numpy_helper.from_array(array.astype(np.float32), name)


def body(name: str, function: str, *more: onnx.NodeProto) -> onnx.GraphProto:
    """A convolution with a kernel of its own, under names that the other body uses too."""
    nodes = [node("Conv", ["h", "own"], ["c"]), node(function, ["c"], ["out"]), *more]
    out = info("out", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, name, [], [out], [weight("own", 8, 8, 1, 1)])


def network(
    condition: list[onnx.NodeProto], free: bool = False, **stored: np.ndarray
) -> onnx.ModelProto:
    """Two convolutions with an If between them; ``free``: of batches of any size."""
    batch: Any = "N" if free else 2
    nodes = [
        node("Conv", ["x", "w1"], ["a"], pads=[1] * 4),
        node("Relu", ["a"], ["h"]),
        *condition,
        node("If", ["yes"], ["m"], then_branch=body("then", "Relu"),
             else_branch=body("else", "Tanh")),
        node("Conv", ["m", "w2"], ["y"]),
    ]  # fmt: skip
    given, out = (
        info("x", TensorProto.FLOAT, [batch, 3, 6, 6]),
        info("y", TensorProto.FLOAT, [None] * 4),
    )
    tensors = [weight("w1", 8, 3, 3, 3), weight("w2", 4, 8, 1, 1)]
    tensors += [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "net", [given], [out], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def sized(axis: int) -> list[onnx.NodeProto]:
    """Whether an axis has eight indices."""
    size = node("Gather", ["sizes", "axis"], ["size"], axis=0)
    return [node("Shape", ["h"], ["sizes"]), size, node("Equal", ["size", "eight"], ["yes"])]


SIZES = {"eight": np.array(8), "axis": np.array(1)}


@pytest.mark.parametrize("way", [True, False])
def test_of_a_stored_condition(way: bool) -> None:
    model = network([], yes=np.array(way))
    outcome = judge(model, scope="local", ratio=0.5, criterion="l1")
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.4


def test_of_a_size_that_the_model_fixes() -> None:
    outcome = judge(
        network(sized(1), free=True, **SIZES), {"x": (2, 3, 6, 6)},
        scope="local", ratio=0.5, criterion="l1",
    )  # fmt: skip
    assert outcome.error < EXACT
    assert outcome.lost > 0.4


def test_of_a_size_that_it_leaves_open() -> None:
    """It may be another one tomorrow."""
    model = network(sized(0), free=True, eight=np.array(8), axis=np.array(0))
    assert inline(model) is model
    session = spa.analyze(model)
    assert any("has a body of its own" in item.reason for item in session.frozen)
    assert not any(group.prunable for group in session.groups)


def test_of_what_a_caller_may_feed() -> None:
    """A stored tensor that is listed among the inputs is a default."""
    model = network([], yes=np.array(True))
    model.graph.input.append(info("yes", TensorProto.BOOL, []))
    assert inline(model) is model


def test_within_each_other() -> None:
    """The inner one reads what the outer one makes, under a name that is used elsewhere."""
    model = network([], yes=np.array(True))
    (branch,) = (n for n in model.graph.node if n.op_type == "If")
    (then,) = (a.g for a in branch.attribute if a.name == "then_branch")
    inner = [
        helper.make_graph(
            [node(op, ["c"], ["inner"])], op, [], [info("inner", TensorProto.FLOAT, None)]
        )
        for op in ("Sigmoid", "Neg")
    ]
    del then.node[1:]
    then.node.append(node("If", ["yes"], ["out"], then_branch=inner[0], else_branch=inner[1]))
    written = inline(model)
    assert "If" not in [n.op_type for n in written.graph.node]
    feeds = drawn(model, {})
    np.testing.assert_array_equal(outputs(model, feeds)[0], outputs(written, feeds)[0])
    assert judge(model, scope="local", ratio=0.5, criterion="l1").error < EXACT
