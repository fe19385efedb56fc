"""Models as they come: of old and new operator sets, and written in many ways; judged anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx_judge import EXACT, Outcome, judge
from onnx_networks import build

import spa_kernel as spa
from spa_kernel.errors import CaptureError, InfeasibleTarget

LOCAL: dict[str, Any] = {"ratio": 0.5, "scope": "local", "criterion": "l1"}
node = helper.make_node


def exact(model: onnx.ModelProto, least: float = 0.3, **shapes: tuple[int, ...]) -> Outcome:
    """That half of the channels go, and the rest computes what it did."""
    model.metadata_props.add(key="license", value="free")
    outcome = judge(model, shapes, **LOCAL)
    assert not outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > least
    return outcome


def weights(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: (rng.uniform(0.5, 1.5, s) if len(s) == 1 else rng.standard_normal(s)).astype("f4")
        for name, s in shapes.items()
    }


IMAGE = {"w1": (8, 3, 3, 3), "b1": (8,), "w2": (4, 8, 1, 1)}


def image(middle: list[onnx.NodeProto], opset: int, ir: int = 8, **stored: Any) -> onnx.ModelProto:
    """A convolution, what is to be tried on its channels (from a to d), a convolution."""
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["a"], pads=[1] * 4),
        *middle,
        node("Conv", ["d", "w2"], ["e"]),
        node("GlobalAveragePool", ["e"], ["y"]),
    ]
    given, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, n, m, m])
        for name, n, m in (("x", 3, 8), ("y", 4, 1))
    )
    tensors = [numpy_helper.from_array(a, n) for n, a in {**weights(**IMAGE), **stored}.items()]
    infos = [helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in tensors]
    inputs = [given, *(infos if ir < 4 else [])]
    graph = helper.make_graph(nodes, "graph", inputs, [out], tensors)
    opsets = [helper.make_opsetid("", opset)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir)


@pytest.mark.parametrize("opset", [9, 11, 13, 17, 21, 25])
def test_operator_sets(opset: int) -> None:
    parts = weights(s=(8,), b=(8,), m=(8,), v=(8,))
    norm = node("BatchNormalization", ["a", "s", "b", "m", "v"], ["n"])
    exact(image([norm, node("Relu", ["n"], ["d"])], opset, 8 if opset < 21 else 10, **parts))


def test_weights_listed_as_inputs() -> None:
    exact(image([node("Relu", ["a"], ["d"])], 9, ir=3))


LISTS = [
    node("Slice", ["a"], ["d"], starts=[0], ends=[2**31], axes=[1]),
    node("Upsample", ["a", "scales"], ["d"]),
    node("Pad", ["a"], ["d"], pads=[0, 0, 1, 1, 0, 0, 1, 1]),
    node("ReduceSum", ["a"], ["d"], axes=[2, 3]),
    node("TopK", ["a"], ["d", "i"], axis=3, k=2),
]


@pytest.mark.parametrize("which", range(len(LISTS)), ids=[n.op_type for n in LISTS])
def test_settings_that_were_attributes(which: int) -> None:
    stored = {"scales": np.array([1, 1, 2, 2], "f4")} if which == 1 else {}
    exact(image([LISTS[which]], 9, **stored))


def test_split_without_sizes_into_uneven_parts() -> None:
    """Before operator set 18 the parts had to be equal."""
    parts = [node("Split", ["a"], ["p", "q"], axis=1), node("Conv", ["p", "w"], ["r"])]
    parts.append(node("Concat", ["r", "q"], ["d"], axis=1))
    model = image(parts, 13, **weights(w=(4, 4, 1, 1)))
    assert judge(model, ratio=0.3, scope="global", criterion="l1").error < EXACT


def test_weights_of_one_number() -> None:
    model = build(
        """
        net (float[N,6] x) => (float[N,3] y) {
            w = ConstantOfShape <value = float[1] {0.3}> (s)
            b = ConstantOfShape (t)
            h = Gemm (x, w, b)
            g = Add (h, c)
            r = Relu (g)
            y = MatMul (r, w2)
        }
        """,
        s=np.array([6, 8]),
        t=np.array([8]),
        c=(8,),
        w2=(8, 3),
    )
    exact(model, x=(2, 6))


def layer(kind: str, direction: str, states: bool, **attrs: Any) -> onnx.ModelProto:
    """One recurrent layer, and what reads all of its outputs."""
    gates, ways = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 1 + (direction == "bidirectional")
    early = attrs.get("layout", 0)
    shapes = {"w": (ways, gates * 8, 6), "r": (ways, gates * 8, 8), "b": (ways, 2 * gates * 8)}
    stored = weights(**shapes, w2=(ways * 8, 3), w3=(8, 3))
    inputs, outputs = ["x", "w", "r", "b", "", ""], ["steps", "last"]
    if kind == "LSTM":
        inputs, outputs = [*inputs, "", "p"], [*outputs, "cell"]
        stored |= weights(p=(ways, 24))
    if states:
        stored |= {"n": np.array([5, 3], np.int32)} | weights(h0=(ways, 2, 8), c0=(ways, 2, 8))
        inputs[4:6] = ["n", "h0"]
        if kind == "LSTM":
            inputs[6] = "c0"
        else:
            del stored["c0"]
    nodes = [node(kind, inputs, outputs, hidden_size=8, direction=direction, **attrs)]
    turn = [0, 1, 2, 3] if early else [0, 2, 1, 3]
    nodes += [
        node("Transpose", ["steps"], ["t"], perm=turn),
        node("Reshape", ["t", "flat"], ["f"]),
        node("MatMul", ["f", "w2"], ["y"]),
        node("MatMul", ["last", "w3"], ["z"]),
    ]
    stored["flat"] = np.array([0, 0, -1])
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes, "graph",
        [info("x", TensorProto.FLOAT, [2, 5, 6] if early else [5, 2, 6])],
        [info("y", TensorProto.FLOAT, [2, 5, 3] if early else [5, 2, 3]),
         info("z", TensorProto.FLOAT, [2, ways, 3] if early else [ways, 2, 3])],
        [numpy_helper.from_array(a, name) for name, a in stored.items()],
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 14)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(kind: str, direction: str) -> None:
    exact(layer(kind, direction, states=direction != "forward"))


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers_with_the_batch_first(kind: str) -> None:
    exact(layer(kind, "bidirectional", states=False, layout=1))


def test_a_layer_whose_units_do_not_rest_at_zero_is_frozen() -> None:
    outcome = judge(layer("RNN", "forward", False, activations=["Sigmoid"]), **LOCAL)
    assert outcome.refused
    assert any("RNN" in reason for reason in outcome.frozen)


def test_states_of_zeros_for_any_batch() -> None:
    model = build(
        """
        net (float[5,N,6] x) => (float[5,1,N,3] y) {
            s = Shape (x)
            n = Gather (s, i)
            to = Concat <axis = 0> (i, n, h)
            z = ConstantOfShape (to)
            o, l, c = LSTM <hidden_size = 8> (x, w, r, b, , z, z)
            y = MatMul (o, w2)
        }
        """,
        i=np.array([1]), h=np.array([8]), w=(1, 32, 6), r=(1, 32, 8), b=(1, 64), w2=(8, 3),
    )  # fmt: skip
    exact(model, x=(5, 2, 6))
    spa.analyze(model, {"x": (5, 2, 6)}).prune(**LOCAL)
    feeds = {"x": np.zeros((5, 7, 6), np.float32)}
    assert onnx.reference.ReferenceEvaluator(model).run(None, feeds)[0].shape == (5, 1, 7, 3)


@pytest.mark.parametrize("each", [False, True])
def test_weights_of_whole_numbers(each: bool) -> None:
    rng = np.random.default_rng(0)
    model = build(
        """
        net (float[N,6] x) => (float[N,3] y) {
            a = DequantizeLinear <axis = 1> (w, s, z)
            h = MatMul (x, a)
            q = QuantizeLinear (h, t, p)
            d = DequantizeLinear (q, t, p)
            r = Relu (d)
            y = MatMul (r, w2)
        }
        """,
        w=rng.integers(-99, 99, (6, 8)).astype(np.int8),
        s=np.full(8, 0.01, "f4") if each else np.float32(0.01),
        z=np.zeros(8, np.int8) if each else np.int8(0),
        t=np.float32(0.02),
        p=np.uint8(128),
        w2=(8, 3),
    )
    exact(model, x=(2, 6))
    session = spa.analyze(model, {"x": (2, 6)})
    with pytest.raises(InfeasibleTarget, match="whole numbers"):
        session.prune(ratio=0.5, reconstruct=True)


@pytest.mark.parametrize(
    "line",
    [
        "d = GatherElements <axis = 3> (a, i)",
        "d = Trilu (a)",
        "d = LpNormalization <axis = 1> (a)",
        "k = Compress <axis = 1> (a, m) d = Concat <axis = 1> (k, k)",
        "t, j = TopK <axis = 2> (a, one) d = Add (a, t)",
        "d = GridSample (a, g)",
        "k = SpaceToDepth <blocksize = 2> (a) d = DepthToSpace <blocksize = 2> (k)",
        'd = Einsum <equation = "...hw->...wh"> (a)',
    ],
)
def test_operators(line: str) -> None:
    content = {
        "i": np.zeros((1, 8, 8, 8), np.int64),
        "m": np.array([1, 0] * 4, bool),
        "one": np.array([1]),
    }
    text = f"""
    net (float[1,3,8,8] x, float[1,8,8,2] g) => (float[1,4,8,8] y) {{
        a = Conv <pads = [1,1,1,1]> (x, w1, b1)
        {line}
        y = Conv (d, w2)
    }}
    """
    used = {k: v for k, v in content.items() if f" {k})" in line}
    exact(build(text, **IMAGE, **used))


def test_a_sequence_that_comes_out() -> None:
    model = image([node("Relu", ["a"], ["d"]), node("SequenceConstruct", ["d", "d"], ["q"])], 18)
    model.graph.output.append(helper.make_tensor_sequence_value_info("q", TensorProto.FLOAT, None))
    reasons = {item.reason for item in spa.analyze(model).frozen}
    assert reasons == {"it is an output of the network"}


@pytest.mark.parametrize("opset", [9, 11, 12, 13])
def test_first_states_of_zeros_for_all_layers(opset: int) -> None:
    """A part of the zeros is cut out for each layer, for a batch of any size."""
    axes = {"axes": [0]} if opset < 13 else {}
    cut = (
        node("Slice", ["all"], ["zeros"], starts=[1], ends=[2], axes=[0])
        if opset < 10
        else node("Slice", ["all", "one", "two", "none"], ["zeros"])
    )
    nodes = [
        node("Shape", ["x"], ["sizes"]),
        node("Gather", ["sizes", "at"], ["n"]),
        node("Unsqueeze", ["n"] if axes else ["n", "none"], ["batch"], **axes),
        node("Concat", ["two", "batch", "hidden"], ["shape"], axis=0),
        node("ConstantOfShape", ["shape"], ["all"]),
        cut,
        node("GRU", ["x", "w", "r", "", "", "zeros"], ["o", ""], hidden_size=8),
        node("Squeeze", ["o"] if opset < 13 else ["o", "one"], ["s"], **(
            {"axes": [1]} if opset < 13 else {})),
        node("MatMul", ["s", "w2"], ["y"]),
    ]  # fmt: skip
    given, out = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [5, "N", size])
        for name, size in (("x", 6), ("y", 3))
    )
    stored = weights(w=(1, 24, 6), r=(1, 24, 8), w2=(8, 3))
    stored |= {name: np.array([n]) for name, n in (("none", 0), ("one", 1), ("two", 2))}
    stored |= {"at": np.array(1), "hidden": np.array([8])}
    tensors = [numpy_helper.from_array(array, name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "graph", [given], [out], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    exact(model, x=(5, 2, 6))


def test_sizes_of_minus_one_are_open() -> None:
    """As some exporters write them."""
    model = image([node("Relu", ["a"], ["d"])], 17)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = -1
    assert spa.analyze(model, (1, 3, 9, 8)).groups
    with pytest.raises(CaptureError, match="unknown axes"):
        spa.analyze(model)
