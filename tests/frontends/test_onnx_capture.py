"""Reading ONNX models into the standard graph."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx_networks import array, attention, build, content, convs, ops

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.frontends.onnx.inputs import given_inputs, input_shapes
from spa_kernel.frontends.onnx.places import place


def test_layers_and_their_operands() -> None:
    model = convs()
    before = content(model)
    graph = OnnxBackend(model).capture()
    assert content(model) == before
    assert ops(graph) == [
        "Conv",
        "BatchNormalization",
        "Relu",
        "Conv",
        "GlobalAveragePool",
        "Reshape",
        "Gemm",
    ]
    assert list(graph.stored) == [t.name for t in model.graph.initializer]
    # As in torch: the means and variances of a norm are no parameters.
    (norm,) = (node for node in graph.nodes if node.op == "BatchNormalization")
    assert {v for v in graph.stored.values() if v.kind == "buffer"} == {*norm.inputs[3:]}
    first, norm, _, depthwise, _, flatten, gemm = graph.nodes
    assert first.attrs["group"] == 1
    assert first.attrs["geometry"].padding == ((1, 1), (1, 1))
    assert norm.attrs["epsilon"] == pytest.approx(1e-5)
    assert [v.name if v else None for v in norm.inputs] == ["a", "scale", "bias", "mean", "var"]
    assert depthwise.attrs["groups"].kind == "virtual"
    assert depthwise.attrs["groups"].shape == (8,)
    assert depthwise.inputs[2] is None
    assert flatten.outputs[0].shape == (1, 8)
    assert gemm.attrs == {"transA": 0, "transB": 1, "alpha": 1.0, "beta": 1.0}
    assert graph.inputs[0].shape == (1, 3, 8, 8)


def test_sizes_computed_by_the_model_leave_no_trace() -> None:
    graph = OnnxBackend(attention(), (2, 5, 12)).capture()
    assert set(ops(graph)) == {
        *("MatMul", "LayerNormalization", "Split", "Reshape", "Transpose", "Div", "Softmax", "Add")
    }
    assert [n.outputs[0].shape for n in graph.nodes if n.op == "Reshape"] == [
        *[(2, 5, 2, 6)] * 3,
        (2, 5, 12),
    ]
    (div,) = (n for n in graph.nodes if n.op == "Div")
    assert div.inputs[1] is not None
    assert div.inputs[1].kind == "constant"


def test_slices_gathers_and_pads_say_what_they_take() -> None:
    model = build(
        """
        net (float[1,6,4] x) => (float[1,3,4] a, float[1,6,4] b, float[1,2,4] c, float[1,8,4] d) {
            starts = Constant <value_ints = [-1]> ()
            ends = Constant <value_ints = [-10]> ()
            axes = Constant <value_ints = [1]> ()
            steps = Constant <value_ints = [-2]> ()
            a = Slice (x, starts, ends, axes, steps)
            table = Constant <value_ints = [5, -2, 3, 2, 1, 0]> ()
            b = Gather <axis = 1> (x, table)
            low = Constant <value_ints = [1]> ()
            high = Constant <value_ints = [3]> ()
            c = Slice (x, low, high, axes)
            pads = Constant <value_ints = [0, 1, 0, 0, 1, 0]> ()
            d = Pad (x, pads)
        }
        """
    )
    backward, table, forward, pad = OnnxBackend(model).capture().nodes
    assert {a: i.tolist() for a, i in backward.attrs["index"].items()} == {1: [5, 3, 1]}
    assert {a: i.tolist() for a, i in forward.attrs["index"].items()} == {1: [1, 2]}
    assert table.inputs[1] is not None
    assert table.inputs[1].data is not None
    assert table.inputs[1].data.tolist() == [5, 4, 3, 2, 1, 0]
    assert pad.attrs["pads"] == [(0, 0), (1, 1), (0, 0)]


def test_transposed_weights_stay_under_their_names() -> None:
    model = build(
        """
        net (float[1,4] x) => (float[1,6] y) {
            wt = Transpose <perm = [1, 0]> (w)
            z = MatMul (x, wt)
            shape = Constant <value_ints = [1, 6]> ()
            b2 = Reshape (b, shape)
            y = Add (z, b2)
        }
        """,
        w=(6, 4),
        b=(6,),
    )
    graph = OnnxBackend(model).capture()
    assert ops(graph) == ["Transpose", "MatMul", "Reshape", "Add"]
    assert list(graph.stored) == ["w", "b"]


def test_what_a_model_fills_itself_ties_nothing() -> None:
    model = build(
        """
        net (float[1,3,4,4] x) => (float[1,6,4,4] y) {
            zero = Constant <value = float {0.0}> ()
            size = Shape <start = 0, end = 1> (w)
            bias = Expand (zero, size)
            z = Conv (x, w, bias)
            shape = Constant <value_ints = [1, 6, 1, 1]> ()
            two = Constant <value = float {2.0}> ()
            twos = Expand (two, shape)
            y = Mul (z, twos)
        }
        """,
        w=(6, 3, 1, 1),
    )
    conv, mul = OnnxBackend(model).capture().nodes
    assert conv.inputs[2] is None
    assert mul.inputs[1] is not None
    assert mul.inputs[1].shape == (1, 1, 1, 1)


def test_sequences_are_taken_apart() -> None:
    model = build(
        """
        net (float[1,6] x) => (float[1,6] y) {
            sizes = Constant <value_ints = [2, 4]> ()
            parts = SplitToSequence <axis = 1> (x, sizes)
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            a = SequenceAt (parts, zero)
            b = SequenceAt (parts, one)
            both = SequenceConstruct (b, a)
            y = ConcatFromSequence <axis = 1> (both)
        }
        """
    )
    split, concat = OnnxBackend(model).capture().nodes
    assert [v.shape for v in split.outputs] == [(1, 2), (1, 4)]
    assert concat.inputs == split.outputs[::-1]


def test_branches_read_values_from_outside() -> None:
    model = build(
        """
        net (float[1,4] x, bool c) => (float[1,4] y) {
            h = MatMul (x, w)
            y = If (c) <
                then_branch = yes () => (float[1,4] a) { a = Relu (h) },
                else_branch = no () => (float[1,4] b) { b = MatMul (h, v) }
            >
        }
        """,
        w=(4, 4),
        v=(4, 4),
    )
    graph = OnnxBackend(model).capture()
    assert ops(graph) == ["MatMul", "If"]
    assert {v.name for v in graph.nodes[1].inputs if v} == {"c", "h", "v"}


def test_foreign_operators_and_odd_forms_keep_no_known_name() -> None:
    model = build(
        """
        net (float[1,4,3] x) => (float[1,4,3] y) {
            a = com.example.Relu (x)
            y = Softmax <axis = 1> (a)
        }
        """,
        opset=11,
        domains=', "com.example": 1',
    )
    with pytest.raises(CaptureError, match="shape of 'a'"):
        OnnxBackend(model).capture()
    model.graph.value_info.append(onnx.helper.make_tensor_value_info("a", 1, [1, 4, 3]))
    assert ops(OnnxBackend(model).capture())[0] == "com.example.Relu"
    del model.graph.node[0]
    model.graph.node[0].input[0] = "x"
    assert ops(OnnxBackend(model).capture()) == ["Softmax (unusual form)"]


def test_shapes_that_only_a_run_tells() -> None:
    model = build(
        """
        net (float[1,4] x) => (float[K,1] y) {
            h = Relu (x)
            at = NonZero (h)
            rows = Transpose <perm = [1, 0]> (at)
            one = Constant <value_ints = [1]> ()
            zero = Constant <value_ints = [0]> ()
            col = Slice (rows, zero, one, one)
            y = Cast <to = 1> (col)
        }
        """
    )
    graph = OnnxBackend(model, np.array([[1.0, -1.0, 2.0, 3.0]], np.float32)).capture()
    assert graph.outputs[0].shape == (3, 1)


def test_functions_are_written_out() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 18, "local": 1]>
        net (float[1,4] x) => (float[1,6] y) { y = local.dense (x, w) }
        <domain: "local", opset_import: ["": 18]>
        dense (a, b) => (c) { d = MatMul (a, b) c = Relu (d) }
    """)
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((4, 6), np.float32), "w"))
    graph = OnnxBackend(model).capture()
    assert ops(graph) == ["MatMul", "Relu"]
    assert list(graph.stored) == ["w"]
    assert model.functions


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (None, "unknown axes"),
        ((2, 5), "has 3 axes"),
        ((2, 5, 7), "must have the shape"),
        ({"z": (2, 5, 12)}, "no input 'z'"),
        ({"x": object()}, "neither an array nor a shape"),
        ([(2, 5, 12), (1,)], "2 inputs were passed"),
    ],
)
def test_wrong_inputs_say_what_to_pass(inputs: object, message: str) -> None:
    with pytest.raises(CaptureError, match=message):
        OnnxBackend(attention(), inputs).capture()


@pytest.mark.parametrize(
    "inputs",
    [
        (2, 5, 12),
        [(2, 5, 12)],
        {"x": (2, 5, 12)},
        np.zeros((2, 5, 12), np.float32),
        torch.zeros(2, 5, 12),
        {"x": torch.zeros(2, 5, 12)},
    ],
)
def test_inputs_are_shapes_or_arrays(inputs: object) -> None:
    model = attention()
    assert input_shapes(model, given_inputs(model, inputs)) == {"x": (2, 5, 12)}


def test_files(tmp_path: Path) -> None:
    model = convs()
    path = tmp_path / "net.onnx"
    onnx.save_model(model, path, save_as_external_data=True, size_threshold=0)
    with pytest.raises(CaptureError, match="pass the path"):
        OnnxBackend(onnx.load_model(path, load_external_data=False)).capture()
    backend = OnnxBackend(path)
    backend.capture()
    np.testing.assert_array_equal(backend.array("w1"), array(convs(), "w1"))
    backend.export(tmp_path / "copy.onnx")
    np.testing.assert_array_equal(
        array(onnx.load_model(tmp_path / "copy.onnx"), "w1"), backend.array("w1")
    )
    with pytest.raises(CaptureError, match="no file"):
        OnnxBackend(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(CaptureError, match="cannot be read"):
        OnnxBackend(tmp_path / "bad.onnx")


def test_places_come_from_the_exporter() -> None:
    node = onnx.helper.make_node("Relu", ["x"], ["y"], name="node_relu")
    assert place(node) == ("node_relu", "")
    for key, value in {
        "pkg.torch.onnx.name_scopes": "['', 'layer1', 'layer1.0', 'relu']",
        "pkg.torch.onnx.stack_trace": 'File "/a/net.py", line 7, in forward\n  f(x)\n'
        'File "/lib/torch/nn/functional.py", line 9, in relu',
    }.items():
        node.metadata_props.add(key=key, value=value)
    assert place(node) == ("layer1.0", "net.py:7")
