"""OBSPA on ONNX models: costs, reconstruction, inputs made from the model alone."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx_networks import array, attention, build, content
from torch import nn

import spa_kernel as spa
from spa_kernel.errors import DataNeeded, InfeasibleTarget, UnsupportedOperator
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.program import OnnxProgram
from spa_kernel.frontends.onnx.run import Light
from spa_kernel.frontends.onnx.synthetic import synthetic
from spa_kernel.obspa.program import copied
from spa_kernel.obspa.reconstruct import Reconstruction


class Residual(nn.Module):
    """A stem, a block with a sum, an upsampling convolution and an MLP."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.a, self.na = nn.Conv2d(8, 12, 3, padding=1, bias=False), nn.BatchNorm2d(12)
        self.b, self.nb = nn.Conv2d(12, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.up = nn.ConvTranspose2d(8, 10, 3, stride=2, padding=1, output_padding=1)
        self.hidden, self.head = nn.Linear(10, 16), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)).relu()
        x = (x + self.nb(self.b(self.na(self.a(x)).relu()))).relu()
        x = self.up(x).relu().mean((2, 3))
        out: torch.Tensor = self.head(self.hidden(x).relu())
        return out


BATCHES = [
    np.random.default_rng(i).normal(0.1, 0.5, (16, 3, 12, 12)).astype(np.float32) for i in range(4)
]


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Residual().train()
    for _ in range(20):
        net(torch.randn(16, 3, 12, 12) * 0.5 + 0.1)
    return net.eval()


@pytest.fixture(scope="module", params=[False, True], ids=["norms", "folded"])
def exported(request: pytest.FixtureRequest, net: nn.Module) -> onnx.ModelProto:
    return exported_from(net, optimize=request.param)


def exported_from(net: nn.Module, *, optimize: bool) -> onnx.ModelProto:
    program = torch.onnx.export(
        net,
        (torch.zeros(2, 3, 12, 12),),
        dynamo=True,
        optimize=optimize,
        verbose=False,
        dynamic_shapes=({0: torch.export.Dim("n")},),
    )
    assert program is not None
    model: onnx.ModelProto = program.model_proto
    return model


def error(model: onnx.ModelProto, before: onnx.ModelProto, batches: list[Any]) -> float:
    """Mean square of the difference of the outputs."""
    name = model.graph.input[0].name
    feeds = [batch if isinstance(batch, dict) else {name: batch} for batch in batches]
    pairs = [[Light.of(m).run(feed)[0].astype(float) for m in (model, before)] for feed in feeds]
    return float(np.mean([np.square(a - b).mean() for a, b in pairs]))


@pytest.fixture(params=["torch", "onnxruntime"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a torch module beside the model, and as where torch cannot rebuild it."""
    if request.param == "onnxruntime":

        def twin(*_: Any) -> None:
            raise UnsupportedOperator("no such module")

        monkeypatch.setattr(OnnxBackend, "twin", twin)


@pytest.mark.usefixtures("either_way")
def test_obspa_keeps_the_output_and_is_taken_back_bit_for_bit(exported: onnx.ModelProto) -> None:
    model = copy.deepcopy(exported)
    session = spa.analyze(model)
    session.prune(criterion="l1", flops=1.5)
    plain = error(model, exported, BATCHES)
    session.undo()
    session.prune(criterion="obspa", flops=1.5, data=BATCHES)
    onnx.checker.check_model(model)
    assert error(model, exported, BATCHES) < 0.5 * plain
    mended = content(model)
    session.undo()
    assert content(model) == content(exported)
    session.redo()
    assert content(model) == mended


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("calibration", ["data", "ood"])
def test_same_weights_as_of_the_torch_module(net: nn.Module, calibration: str) -> None:
    module, model = copy.deepcopy(net), exported_from(net, optimize=False)
    sessions = spa.analyze(module, torch.zeros(2, 3, 12, 12)), spa.analyze(model)
    for session, data in zip(sessions, (map(torch.tensor, BATCHES), BATCHES), strict=True):
        session.prune(
            criterion="random",
            ratio=0.4,
            reconstruct=True,
            calibration=calibration,
            data=list(data),
        )
    state = module.state_dict()
    for tensor in model.graph.initializer:
        if tensor.name in state:
            expected = state[tensor.name].numpy()
            found = numpy_helper.to_array(tensor)
            assert np.abs(found - expected).max() <= 1e-4 * max(1, np.abs(expected).max())
    assert set(state) - {t.name for t in model.graph.initializer} == {
        name for name in state if name.endswith("num_batches_tracked")
    }


def test_without_data(exported: onnx.ModelProto) -> None:
    errors = []
    for wishes in ({}, {"reconstruct": True, "calibration": "none"}):
        model = copy.deepcopy(exported)
        spa.analyze(model).prune(criterion="random", ratio=0.3, **wishes)
        errors.append(error(model, exported, BATCHES))
    assert errors[1] < errors[0]


def products() -> onnx.ModelProto:
    """Every kind of product but a convolution; weights in Constant nodes and transposed ones."""
    return build(
        """
        net (float[N,6] x) => (float[N,4] y) {
            b1 = Constant <value_floats = [0.1, 0.2, 0.3, 0.4, -0.1, -0.3, 1.0, -1.0]> ()
            a = Gemm <transB = 1> (x, w1, b1)
            r = Relu (a)
            w2t = Transpose <perm = [1, 0]> (w2)
            z = MatMul (r, w2t)
            t = Relu (z)
            y = Einsum <equation = "ij,kj->ik"> (t, w3)
        }
        """,
        w1=(8, 6),
        w2=(10, 8),
        w3=(4, 10),
    )


def halves() -> onnx.ModelProto:
    """In half precision, with a sequence between two products."""
    rng = np.random.default_rng(0)
    return build(
        """
        net (float16[N,6] x) => (float16[N,4] y) {
            a = MatMul (x, w1)
            size = Constant <value_int = 8> ()
            both = SplitToSequence <axis = 1> (a, size)
            zero = Constant <value_int = 0> ()
            one = Constant <value_int = 1> ()
            g = SequenceAt (both, zero)
            h = SequenceAt (both, one)
            s = Sigmoid (h)
            m = Mul (g, s)
            y = MatMul (m, w2)
        }
        """,
        w1=rng.normal(0, 0.4, (6, 16)).astype(np.float16),
        w2=rng.normal(0, 0.4, (8, 4)).astype(np.float16),
    )


def doubles() -> onnx.ModelProto:
    """What onnxruntime has no operator for, one sample at a time."""
    rng = np.random.default_rng(0)
    return build(
        """
        net (double[1,3,6,6] x) => (double[1,4,4,4] y) {
            a = Conv (x, w1)
            r = Relu (a)
            y = Conv (r, w2)
        }
        """,
        w1=rng.standard_normal((12, 3, 3, 3)),
        w2=rng.standard_normal((4, 12, 1, 1)),
    )


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("make", [products, halves, doubles, attention])
def test_all_products_and_types(make: Any) -> None:
    before = make()
    inputs = (1, 5, 12) if make is attention else None
    captured = Captured(before, {} if inputs is None else {"x": inputs})
    data = synthetic(captured, count=64)
    model = copy.deepcopy(before)
    session = spa.analyze(model, inputs)
    session.prune(criterion="random", ratio=0.3)
    plain = error(model, before, data)
    session.undo()
    session.prune(criterion="random", ratio=0.3, reconstruct=True, data=data)
    onnx.checker.check_model(model)
    assert error(model, before, data) < plain
    session.undo()
    assert content(model) == content(before)
    assert set(session.importance("obspa", data=data)) <= {g.id for g in session.groups}


def test_pieces_make_what_the_whole_model_makes(exported: onnx.ModelProto) -> None:
    program = OnnxProgram(Captured(exported))
    name = exported.graph.input[0].name
    state = program.begin({name: BATCHES[0]})
    for i, node in enumerate(program.graph.nodes):
        program.run(state, i, through=False)
        alone = program.outputs(copied(state))
        program.run(state, i, through=True)
        made = program.result(state, i)
        assert made is None or made.shape == (len(BATCHES[0]), *node.outputs[0].shape[1:])
    (expected,) = Light.of(exported).run({name: BATCHES[0]})
    for found in (alone, program.outputs(state)):
        assert np.allclose(found[0].numpy(), expected, atol=1e-5)


def test_changed_weights_are_used_where_they_are_transposed_first() -> None:
    model = products()
    program = OnnxProgram(Captured(model))
    x = np.ones((3, 6), np.float32)
    state = program.begin({"x": x})
    (index,) = (i for i, n in enumerate(program.graph.nodes) if n.outputs[0].name == "z")
    program.run(state, index, through=False)
    program.stored["w2"] = torch.zeros_like(program.stored["w2"])
    assert not program.outputs(state)[0].any()
    assert array(model, "w2").any()


@pytest.mark.parametrize(
    "data",
    [
        [],
        5,
        [np.zeros((0, 3, 12, 12))],
        [np.zeros((2, 4, 12, 12))],
        [{"other": np.zeros((2, 3, 12, 12))}],
        [{}],
        [np.full((2, 3, 12, 12), np.nan)],
    ],
)
def test_bad_data_leaves_the_model_as_it_is(exported: onnx.ModelProto, data: Any) -> None:
    model = copy.deepcopy(exported)
    session = spa.analyze(model)
    with pytest.raises((DataNeeded, InfeasibleTarget)):
        session.prune(criterion="obspa", flops=1.5, data=data)
    assert content(model) == content(exported)


def test_an_error_after_the_cut_takes_it_back(
    exported: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Any) -> None:
        raise KeyboardInterrupt

    model = copy.deepcopy(exported)
    session = spa.analyze(model)
    monkeypatch.setattr(Reconstruction, "run", fail)
    with pytest.raises(KeyboardInterrupt):
        session.prune(criterion="l1", ratio=0.3, reconstruct=True, data=BATCHES)
    assert content(model) == content(exported)
