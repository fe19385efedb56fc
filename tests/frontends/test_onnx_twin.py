"""An ONNX model as a torch module: the same numbers as onnxruntime's, or a refusal."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx_networks import attention, build, convs
from torch import nn

from spa_kernel.errors import UnsupportedOperator
from spa_kernel.frontends.onnx.run import Light
from spa_kernel.frontends.onnx.twin import module, twin_of
from spa_kernel.frontends.onnx.twin.checked import alike
from tests.fuzz.onnx_network import build as random_model

PICTURE, ODD, LONG = (2, 4, 6, 6), (2, 4, 7, 5), (2, 4, 9)


def same(model: onnx.ModelProto, shape: tuple[int, ...], seed: int = 1) -> None:
    """On other inputs than those that the twin was checked on."""
    twin = twin_of(model, shape)
    x = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    with torch.no_grad():
        found = twin(torch.from_numpy(x))
    expected = Light.of(model).run({model.graph.input[0].name: x})
    for mine, other in zip(found if isinstance(found, tuple) else [found], expected, strict=True):
        assert alike(mine.numpy(), other)


def one(text: str, shape: tuple[int, ...] = PICTURE, opset: int = 18, **stored: Any) -> None:
    """A model of a few nodes, from ``x`` to ``y``."""
    sizes = ",".join(map(str, shape))
    same(build(f"net (float[{sizes}] x) => (float y) {{ {text} }}", opset=opset, **stored), shape)


UNARY = (
    "Abs Neg Relu Sign Sin Sinh Asinh Cos Cosh Tan Tanh Atan Erf Floor Ceil Round Exp Sigmoid "
    "Softplus Softsign Mish HardSwish LeakyRelu Elu Celu Selu HardSigmoid ThresholdedRelu Shrink "
    "Identity LogSoftmax Softmax Hardmax GlobalAveragePool GlobalMaxPool GlobalLpPool Reciprocal"
)


@pytest.mark.parametrize("op", UNARY.split())
def test_operators_of_one_operand(op: str) -> None:
    one(f"y = {op} (x)")


FORMS = [
    "y = LeakyRelu <alpha = 0.3> (x)",
    "b = Constant <value_float = -0.5> () low = CastLike (b, x) y = Clip (x, low)",
    "y = HardSigmoid <alpha = 0.16666667, beta = 0.5> (x)",
    "y = Shrink <lambd = 0.2, bias = 0.1> (x)",
    "y = LRN <size = 3> (x)",
    "y = LRN <size = 5, alpha = 0.3, beta = 0.5, bias = 2.0> (x)",
    "y = LpNormalization <axis = 1> (x)",
    "y = MeanVarianceNormalization (x)",
    "y = MaxPool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)",
    "y = MaxPool <kernel_shape = [3,2], strides = [2,2], pads = [0,1,1,0], dilations = [2,1]> (x)",
    'y = MaxPool <kernel_shape = [3,3], strides = [2,2], auto_pad = "SAME_UPPER"> (x)',
    'y = MaxPool <kernel_shape = [2,2], strides = [2,2], auto_pad = "SAME_LOWER"> (x)',
    "y = MaxPool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x)",
    "y = AveragePool <kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]> (x)",
    "y = AveragePool <kernel_shape = [3,3], pads = [1,1,1,1], count_include_pad = 1> (x)",
    "y = AveragePool <kernel_shape = [3,3], strides = [2,1], pads = [0,1,1,0]> (x)",
    "y = AveragePool <kernel_shape = [3,3], pads = [0,1,1,0], count_include_pad = 1> (x)",
    "y = AveragePool <kernel_shape = [3,3], strides = [2,2], ceil_mode = 1> (x)",
    'y = AveragePool <kernel_shape = [2,2], strides = [2,2], auto_pad = "SAME_UPPER"> (x)',
    "y = LpPool <kernel_shape = [2,2], p = 3, pads = [1,0,0,1]> (x)",
    "y = Flatten <axis = 2> (x)",
    "y = Flatten <axis = 0> (x)",
    "y = Transpose (x)",
    "y = Transpose <perm = [0,2,3,1]> (x)",
    "y = DepthToSpace <blocksize = 2> (x)",
    'y = DepthToSpace <blocksize = 2, mode = "CRD"> (x)',
    "a = ArgMax <axis = 1, keepdims = 0> (x) y = Cast <to = 1> (a)",
    "a = ArgMin <axis = 2, select_last_index = 1> (x) y = Cast <to = 1> (a)",
    "k = Constant <value_ints = [2]> () y, i = TopK <axis = 1> (x, k)",
    "k = Constant <value_int = 1> () y = CumSum <reverse = 1, exclusive = 1> (x, k)",
    "y = Trilu <upper = 0> (x)",
    "a, b = Split <axis = 1, num_outputs = 2> (x) y = Sub (a, b)",
    "s = Constant <value_ints = [1,3]> () a, b = Split <axis = 1> (x, s) y = Mul (a, b)",
    "s = Constant <value_ints = [1,4,1,1]> () o = Constant <value_floats = [2.0]> () "
    "e = Expand (o, s) y = Mul (x, e)",
    "p = Constant <value_ints = [0,0,1,2,0,0,2,1]> () y = Pad (x, p)",
    'p = Constant <value_ints = [0,0,1,2,0,0,2,1]> () y = Pad <mode = "reflect"> (x, p)',
    'p = Constant <value_ints = [0,1,1,0,0,0,2,1]> () y = Pad <mode = "edge"> (x, p)',
    "p = Constant <value_ints = [0,0,-1,2,0,0,2,-1]> () y = Pad (x, p)",
    "z = Constant <value_float = 0.0> () c = Greater (x, z) a = Neg (x) y = Where (c, x, a)",
    "t = Constant <value_float = 0.7> () y = Mod <fmod = 1> (x, t)",
    "t = Constant <value_float = 2.0> () y = Pow (x, t)",
    "y = Max (x, x) ",
    "a = Relu (x) b = Neg (x) y = Mean (a, b, x)",
    'y = Einsum <equation = "nchw,nchv->nhwv"> (x, x)',
    "r = Constant <value_ints = [1,2,1,3]> () y = Tile (x, r)",
    "s = Shape (x) t = Size (x) f = Cast <to = 1> (t) y = Div (x, f)",
    "c = Constant <value_ints = [1,0,1,1]> () b = Cast <to = 9> (c) "
    "y = Compress <axis = 1> (x, b)",
    "b = SplitToSequence <axis = 1> (x) y = ConcatFromSequence <axis = 2> (b)",
]  # fmt: skip


@pytest.mark.parametrize("text", FORMS)
def test_forms_of_operators(text: str) -> None:
    one(text)


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSumExp",
                                "SumSquare"])  # fmt: skip
@pytest.mark.parametrize("keep", [0, 1])
def test_reductions(op: str, keep: int) -> None:
    attributes = f"<keepdims = {keep}>"
    one(f"a = Constant <value_ints = [1, -1]> () y = Reduce{op} {attributes} (x, a)")
    one(f"y = Reduce{op} <axes = [2], keepdims = {keep}> (x)", opset=12)
    one(f"y = Reduce{op} {attributes} (x)", opset=12)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("how", ["half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"])
def test_resizing(mode: str, how: str) -> None:
    attributes = f'<mode = "{mode}", coordinate_transformation_mode = "{how}">'
    for sizes in ("1, 1, 2, 1.5", "1, 1, 0.5, 1"):
        scales = ", ".join(f"{float(s)}" for s in sizes.split(","))
        one(f"s = Constant <value_floats = [{scales}]> () y = Resize {attributes} (x, , s)")
    one(f"s = Constant <value_ints = [2, 4, 5, 9]> () y = Resize {attributes} (x, , , s)")


CONVOLUTIONS = [
    ("Conv", "pads = [1,1,1,1], strides = [2,1]", (6, 4, 3, 3)),
    ("Conv", "pads = [0,1,2,1], dilations = [2,1], group = 2", (6, 2, 3, 3)),
    ("Conv", 'auto_pad = "SAME_UPPER", strides = [2,2]', (6, 4, 2, 3)),
    ("Conv", 'auto_pad = "SAME_LOWER", strides = [2,2]', (6, 4, 2, 3)),
    ("Conv", 'auto_pad = "VALID"', (6, 4, 2, 3)),
    ("ConvTranspose", "strides = [2,2], pads = [1,1,1,1], output_padding = [1,0]", (4, 6, 3, 3)),
    ("ConvTranspose", "strides = [2,3], pads = [0,1,1,0], group = 2", (4, 3, 3, 3)),
    ("ConvTranspose", 'strides = [2,2], auto_pad = "SAME_UPPER"', (4, 6, 3, 3)),
    ("ConvTranspose", "strides = [2,2], dilations = [1,2], pads = [0,1,1,0], "
                      "output_padding = [1,1]", (4, 6, 3, 3)),
]  # fmt: skip


@pytest.mark.parametrize(("op", "attributes", "kernel"), CONVOLUTIONS)
@pytest.mark.parametrize("shape", [PICTURE, ODD])
def test_convolutions(op: str, attributes: str, kernel: Any, shape: Any) -> None:
    one(f"y = {op} <{attributes}> (x, w, b)", shape, w=kernel, b=(6,))


RECURRENT = ["LSTM", "GRU", "GRU <linear_before_reset = 1>", "RNN",
             'RNN <activations = ["Relu"]>', 'LSTM <direction = "bidirectional">',
             'GRU <direction = "reverse">']  # fmt: skip


@pytest.mark.parametrize("op", RECURRENT)
@pytest.mark.parametrize("biased", [False, True])
def test_recurrent_layers(op: str, biased: bool) -> None:
    kind, _, rest = op.partition(" ")
    gates, ways = {"LSTM": 4, "GRU": 3, "RNN": 1}[kind], 1 + ("bidirectional" in op)
    attributes = f"<hidden_size = 3, {rest[1:]}" if rest else "<hidden_size = 3>"
    stored: dict[str, Any] = {"w": (ways, gates * 3, 4), "r": (ways, gates * 3, 3)}
    if biased:
        stored["b"] = (ways, gates * 6)
    operands = "t, w, r" + ", b" * biased
    one(f"t = Transpose <perm = [2, 0, 1]> (x) y, h = {kind} {attributes} ({operands})", LONG,
        **stored)  # fmt: skip


NORMS = [
    ("y = BatchNormalization (x, s, b, m, v)", 18, "sbmv"),
    ("y = InstanceNormalization (x, s, b)", 18, "sb"),
    ("y = GroupNormalization <num_groups = 2> (x, s, b)", 21, "sb"),
    ("y = LayerNormalization <axis = -1> (x, t, c)", 18, ""),
    ("y = LayerNormalization <axis = 1> (x, t)", 18, ""),
    ("y = PRelu (x, p)", 18, ""),
    ("y = Gelu (x)", 20, ""),
    ('y = Gelu <approximate = "tanh"> (x)', 20, ""),
    ("y = Upsample <mode = \"nearest\"> (x, u)", 9, ""),
    ("y = Clip <min = -0.5, max = 0.7> (x)", 9, ""),
    ("y = Softmax <axis = 1> (x)", 11, ""),
]  # fmt: skip


@pytest.mark.parametrize(("text", "opset", "used"), NORMS)
def test_normalisations_and_old_forms(text: str, opset: int, used: str) -> None:
    stored: dict[str, Any] = dict.fromkeys(used, (4,))
    if "LayerNorm" in text:
        stored = {"t": (5,), "c": (5,)} if "c)" in text else {"t": (4, 7, 5)}
    if "PRelu" in text:
        stored = {"p": (4, 1, 1)}
    if "Upsample" in text:
        stored = {"u": np.array([1, 1, 2, 3], np.float32)}
    one(text, ODD, opset, **stored)


@pytest.mark.parametrize("start", [0, 8, 16])
def test_random_models(start: int) -> None:
    known = 0
    for number in range(start, start + 8):
        model, _ = random_model(number)
        rank = len(model.graph.input[0].type.tensor_type.shape.dim)
        try:
            same(model, (2, 3, 6, 6) if rank == 4 else (2, 5, 6))
            known += 1
        except UnsupportedOperator as refusal:
            assert "computes something else" not in str(refusal)
    assert known > 4


def test_sizes_that_the_model_works_out_follow_the_batch() -> None:
    twin = twin_of(attention(), (2, 5, 12))
    x = torch.randn(3, 7, 12)
    (expected,) = Light.of(attention()).run({"x": x.numpy()})
    assert alike(twin(x=x).detach().numpy(), expected)


def test_weights_are_parameters_and_statistics_are_buffers_of_norms() -> None:
    model = convs()
    twin = twin_of(model)
    state = twin.state_dict()
    for tensor in model.graph.initializer:
        content = onnx.numpy_helper.to_array(tensor)
        assert np.array_equal(state[twin.names[tensor.name]].numpy(), content)
    (norm,) = (m for m in twin.modules() if isinstance(m, nn.BatchNorm2d))
    assert {*dict(twin.named_parameters()).values()} >= {norm.weight, norm.bias}
    assert norm.running_mean is twin.tensor("mean") and norm.running_var is twin.tensor("var")
    other = copy.deepcopy(twin)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    x = torch.randn(2, 3, 8, 8)
    assert not torch.equal(twin(x), other(x))
    other.load_state_dict(state)
    assert torch.equal(twin(x), other(x))


def test_names_with_dots_are_paths_and_any_others_do() -> None:
    names = {"w1": "body.0.weight", "b1": "body.0", "w2": "forward", "w3": "type", "b3": "a..b"}
    model = convs()
    for tensor in model.graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    twin = twin_of(model)
    assert twin.names["body.0.weight"] == "body.0.weight"
    assert len({*twin.names.values()}) == len(twin.names)
    assert set(twin.names.values()) <= set(twin.state_dict())


def test_an_unknown_operator_is_refused_by_its_name() -> None:
    with pytest.raises(UnsupportedOperator, match="Det"):
        one("y = Det (x)")


def test_a_module_that_computes_something_else_is_not_handed_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module.OPERATORS["Conv"], "compute", lambda call, x, w, b=None: x * 2)
    with pytest.raises(UnsupportedOperator):
        one("y = Conv (x, w)", w=(4, 4, 1, 1))
