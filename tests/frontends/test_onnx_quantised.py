"""ONNX models of whole numbers: a prune is exact, around zero points too."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_judge import EXACT, judge

import spa_kernel as spa

RNG = np.random.default_rng(0)
Node = tuple[str, list[str], list[str], dict[str, Any]]
BACK: list[Node] = [("DequantizeLinear", ["q", "s", "z"], ["y"], {})]


def build(nodes: list[Node], **stored: np.ndarray) -> onnx.ModelProto:
    """From images (2, 3, 6, 6) to something of the same rank, through eight channels."""
    first = [("Conv", ["x", "w", "b"], ["a"], {"pads": [1] * 4}), ("Relu", ["a"], ["h"], {})]
    stored |= {"w": weight(8, 3, 3, 3), "b": weight(8)}
    info = helper.make_tensor_value_info
    return helper.make_model(
        helper.make_graph(
            [helper.make_node(op, ins, outs, **attrs) for op, ins, outs, attrs in [*first, *nodes]],
            "net",
            [info("x", TensorProto.FLOAT, [2, 3, 6, 6])],
            [info("y", TensorProto.FLOAT, [None] * 4)],
            [numpy_helper.from_array(array, name) for name, array in stored.items()],
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )


def weight(*shape: int) -> np.ndarray:
    return (RNG.standard_normal(shape) * 0.4).astype(np.float32)


def whole(shape: tuple[int, ...], kind: type) -> np.ndarray:
    low = -99 if kind is np.int8 else 20
    return RNG.integers(low, low + 200, shape).astype(kind)


def halved(model: onnx.ModelProto) -> None:
    """A prune takes half of the eight channels, and is exact."""
    outcome = judge(model, scope="local", ratio=0.5, criterion="l1")
    assert not outcome.refused
    assert outcome.error < max(EXACT, 10 * outcome.noise)
    assert outcome.lost > 0.4


@pytest.mark.parametrize(("kind", "zero"), [(np.int8, 0), (np.int8, 3), (np.uint8, 120)])
@pytest.mark.parametrize("groups", [1, 4])
def test_quantised_when_it_runs(kind: type, zero: int, groups: int) -> None:
    """Zero lies between the least and the greatest entry: those that go do not move the scale."""
    nodes: list[Node] = [
        ("DynamicQuantizeLinear", ["h"], ["hq", "hs", "hz"], {}),
        ("ConvInteger", ["hq", "wq", "hz", "wz"], ["i"], {"group": groups}),
        ("Cast", ["i"], ["f"], {"to": TensorProto.FLOAT}),
        ("Mul", ["hs", "ws"], ["s"], {}),
        ("Mul", ["f", "s"], ["g"], {}),
        ("Conv", ["g", "w2"], ["y"], {}),
    ]
    halved(
        build(
            nodes,
            wq=whole((8, 8 // groups, 3, 3), kind),
            wz=np.array(zero, kind),
            ws=np.array(0.01, np.float32),
            w2=weight(4, 8, 1, 1),
        )
    )


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
@pytest.mark.parametrize("each", [False, True])
def test_convolutions_of_quantised_data(kind: type, each: bool) -> None:
    scale, zero = np.array(0.05, np.float32), np.array(110, np.uint8)
    own = np.full(8 if each else (), 0.004, np.float32)
    nodes: list[Node] = [
        ("QuantizeLinear", ["h", "s", "z"], ["hq"], {}),
        ("QLinearConv", ["hq", "s", "z", "w1", "own", "wz", "s", "z", "bias"], ["m"], {}),
        ("QLinearConv", ["m", "s", "z", "w2", "s2", "wz", "s", "z"], ["q"], {}),
        *BACK,
    ]
    model = build(
        nodes,
        s=scale,
        z=zero,
        own=own,
        wz=np.array(3 if kind is np.int8 else 120, kind),
        bias=np.arange(-400, 400, 100, np.int32),
        w1=whole((8, 8, 3, 3), kind),
        w2=whole((4, 8, 1, 1), kind),
        s2=np.array(0.004, np.float32),
    )
    assert {g.size for g in spa.analyze(model).groups if g.prunable} == {8}
    halved(model)


@pytest.mark.parametrize("each", [False, True])
def test_products_with_a_zero_point_for_each_column(each: bool) -> None:
    zero = np.full(8, 120, np.uint8) if each else np.array(120, np.uint8)
    nodes: list[Node] = [
        ("Transpose", ["h"], ["t"], {"perm": [0, 2, 3, 1]}),
        ("DynamicQuantizeLinear", ["t"], ["hq", "hs", "hz"], {}),
        ("MatMulInteger", ["hq", "w1", "hz", "wz"], ["i"], {}),
        ("Cast", ["i"], ["f"], {"to": TensorProto.FLOAT}),
        ("Mul", ["f", "hs"], ["g"], {}),
        ("MatMul", ["g", "w2"], ["y"], {}),
    ]
    halved(build(nodes, w1=whole((8, 8), np.uint8), wz=zero, w2=weight(8, 4)))


def test_a_weight_around_a_zero_point() -> None:
    """With a scale and a zero point for each row."""
    nodes: list[Node] = [
        ("DequantizeLinear", ["w1", "s", "z"], ["w1f"], {"axis": 0}),
        ("Conv", ["h", "w1f"], ["g"], {}),
        ("Conv", ["g", "w2"], ["y"], {}),
    ]
    scales, zeros = np.full(8, 0.01, np.float32), np.arange(116, 124).astype(np.uint8)
    halved(build(nodes, w1=whole((8, 8, 3, 3), np.uint8), s=scales, z=zeros, w2=weight(4, 8, 1, 1)))


def test_entries_that_would_not_be_zero_move_the_scale() -> None:
    """What comes out of a sigmoid is ½ where it was 0."""
    nodes: list[Node] = [
        ("Sigmoid", ["h"], ["hs0"], {}),
        ("DynamicQuantizeLinear", ["hs0"], ["hq", "hs", "hz"], {}),
        ("ConvInteger", ["hq", "wq", "hz"], ["i"], {}),
        ("Cast", ["i"], ["f"], {"to": TensorProto.FLOAT}),
        ("Mul", ["f", "hs"], ["y"], {}),
    ]
    session = spa.analyze(build(nodes, wq=whole((4, 8, 3, 3), np.int8)))
    assert not session.groups or all(not g.prunable for g in session.groups)


def test_products_of_two_tensors_that_are_computed_stay() -> None:
    nodes: list[Node] = [
        ("DynamicQuantizeLinear", ["h"], ["hq", "hs", "hz"], {}),
        ("MatMulInteger", ["hq", "hq", "hz", "hz"], ["i"], {}),
        ("Cast", ["i"], ["y"], {"to": TensorProto.FLOAT}),
    ]
    with pytest.raises(spa.SpaError, match="nothing can be pruned"):
        spa.analyze(build(nodes)).prune(ratio=0.5, scope="local", criterion="l1")
