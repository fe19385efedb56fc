"""Removing channels from ONNX models, and taking it back."""

from __future__ import annotations

import io

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from onnx_networks import array, attention, build, content, convs, half
from torch import nn

from spa_kernel.coupling.result import Coupling
from spa_kernel.coupling.solver import couple
from spa_kernel.errors import SpaError, StaleSession, VerificationFailed
from spa_kernel.frontends.onnx.backend import OnnxBackend
from spa_kernel.graph.ir import Graph


def prune(
    model: onnx.ModelProto, inputs: object = None, ratio: float = 0.5
) -> tuple[OnnxBackend, Coupling, np.ndarray]:
    """Prune, look at the verification, and check undo and redo bit for bit."""
    backend = OnnxBackend(model, inputs)
    coupling = couple(backend.capture())
    removed = half(coupling, ratio=ratio)
    before = content(model)
    change, verification = backend.apply(coupling, removed)
    assert verification.ok
    assert verification.error is not None
    assert verification.error < 1e-4
    after = content(model)
    assert after != before
    held = change.nbytes
    change.undo()
    assert content(model) == before
    change.redo()
    assert content(model) == after
    assert change.nbytes == held
    onnx.checker.check_model(model, full_check=True)
    return backend, coupling, removed


def outputs(model: onnx.ModelProto, **feeds: np.ndarray) -> list[np.ndarray]:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def attribute(model: onnx.ModelProto, op: str, name: str) -> list[object]:
    return [
        onnx.helper.get_attribute_value(a)
        for node in model.graph.node
        if node.op_type == op
        for a in node.attribute
        if a.name == name
    ]


def hand_made(graph: Graph, *axes: tuple[str, int], order: int = 1) -> Coupling:
    """A coupling that ties the named axes, whether or not that is right."""
    values = {v.name: v for n in graph.nodes for v in (*n.inputs, *n.outputs) if v is not None}
    count = values[axes[0][0]].shape[axes[0][1]]
    labels = np.arange(count)[:, None]
    coupled = {(values[name], axis): labels for name, axis in axes}
    last = (values[axes[-1][0]], axes[-1][1])
    coupled[last] = labels[::order]
    return Coupling(graph, coupled, count, np.zeros(count, dtype=bool), {})


def test_tensors_and_attributes_follow() -> None:
    model = convs()
    weight = array(model, "w1")
    backend, coupling, removed = prune(model)
    kept = np.flatnonzero(~removed[coupling.groups[0].labels])
    np.testing.assert_array_equal(array(model, "w1"), weight[kept])
    assert attribute(model, "Conv", "group") == [4]
    assert {t.name: list(t.dims) for t in model.graph.initializer}["w3"] == [5, 4]
    assert backend.array("w2").shape == (4, 1, 3, 3)
    # Still free in the batch.
    assert outputs(model, x=np.zeros((7, 3, 8, 8), np.float32))[0].shape == (7, 5)


def test_prunes_add_up_and_come_off_in_order() -> None:
    model = convs()
    backend, states, changes = OnnxBackend(model), [content(model)], []
    for _ in range(2):
        coupling = couple(backend.capture())
        changes.append(backend.apply(coupling, half(coupling))[0])
        states.append(content(model))
    assert attribute(model, "Conv", "group") == [2]
    for change, state in zip(changes[::-1], states[-2::-1], strict=True):
        change.undo()
        assert content(model) == state


def test_sizes_and_scales_that_the_model_computes() -> None:
    model = attention()
    backend, _, _ = prune(model, (2, 5, 12))
    x = np.random.default_rng(1).standard_normal((3, 7, 12)).astype(np.float32)
    assert outputs(model, x=x)[0].shape == (3, 7, 12)
    nodes = len(model.graph.node)
    coupling = couple(backend.capture())
    _, verification = backend.apply(coupling, half(coupling, ratio=0.34))
    assert verification.error is not None
    # The second prune changes what the first one added.
    assert len(model.graph.node) == nodes
    assert outputs(model, x=x)[0].shape == (3, 7, 12)


def test_one_literal_for_several_sizes() -> None:
    model = build(
        """
        net (float[1,4] x) => (float[1,4] y) {
            a = MatMul (x, wa)
            b = MatMul (x, wb)
            to = Constant <value_ints = [1, 2, 4]> ()
            a3 = Reshape (a, to)
            b3 = Reshape (b, to)
            one = Constant <value_ints = [1]> ()
            aq = Sigmoid (a3)
            bq = Tanh (b3)
            am = ReduceSum <keepdims = 0> (aq, one)
            bm = ReduceSum <keepdims = 0> (bq, one)
            ya = MatMul (am, va)
            yb = MatMul (bm, vb)
            y = Add (ya, yb)
        }
        """,
        wa=(4, 8),
        wb=(4, 8),
        va=(4, 4),
        vb=(4, 4),
    )
    backend = OnnxBackend(model)
    coupling = couple(backend.capture())
    removed = np.zeros(coupling.count, dtype=bool)
    group = next(g for g in coupling.groups if ("va", 0) in g.members)
    removed[group.labels[:1]] = True
    before = content(model)
    change, verification = backend.apply(coupling, removed)
    assert verification.ok
    assert array(model, "va").shape == (3, 4)
    assert array(model, "vb").shape == (4, 4)
    assert [t.name for t in model.graph.initializer][-1] == "to_pruned"
    change.undo()
    assert content(model) == before


def test_splits_slices_and_tables_of_positions() -> None:
    model = build(
        """
        net (float[1,3,4,4] x) => (float[1,2,4,4] y) {
            a = Conv (x, w1)
            left, right = Split <axis = 1, num_outputs = 2> (a)
            both = Concat <axis = 1> (right, left)
            table = Constant <value_ints = [0, 2, 4, 6, 1, 3, 5, 7]> ()
            mixed = Gather <axis = 1> (both, table)
            one = Constant <value_ints = [1]> ()
            from = Constant <value_ints = [4]> ()
            to = Constant <value_ints = [100]> ()
            tail = Slice (mixed, from, to, one)
            y = Conv (tail, w2)
        }
        """,
        w1=(8, 3, 1, 1),
        w2=(2, 4, 1, 1),
    )
    prune(model)
    assert len(set(attribute(model, "Split", "num_outputs"))) <= 1


def test_a_slice_that_cannot_be_written() -> None:
    model = build(
        """
        net (float[1,3] x) => (float[1,2] y, float[1,2] z) {
            a = MatMul (x, w1)
            y = MatMul (a, w2)
            low = Constant <value_ints = [0]> ()
            high = Constant <value_ints = [8]> ()
            one = Constant <value_ints = [1]> ()
            two = Constant <value_ints = [2]> ()
            even = Slice (a, low, high, one, two)
            z = MatMul (even, w3)
        }
        """,
        w1=(3, 8),
        w2=(8, 2),
        w3=(4, 2),
    )
    backend = OnnxBackend(model)
    coupling = couple(backend.capture())
    removed = np.zeros(coupling.count, dtype=bool)
    axis = next(a for a in coupling.axes if a[0].name == "w1" and a[1] == 1)
    removed[coupling.axes[axis][[1, 3]]] = True
    before = content(model)
    with pytest.raises(SpaError, match="Slice in even"):
        backend.apply(coupling, removed)
    assert content(model) == before
    backend.check()


@pytest.mark.parametrize("scaled", [True, False])
def test_layer_norm_is_over_what_stays(scaled: bool) -> None:
    norm = nn.LayerNorm(8, elementwise_affine=scaled)
    if scaled:
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias)
    model = exported(nn.Sequential(nn.Linear(4, 8), norm, nn.Linear(8, 3)), torch.randn(2, 4))
    prune(model)


class GroupNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 12, 3, padding=1)
        self.norm = nn.GroupNorm(3, 12)
        self.last = nn.Conv2d(12, 2, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(torch.relu(self.norm(self.first(x))))


def exported(module: nn.Module, x: torch.Tensor, **options: object) -> onnx.ModelProto:
    module.eval()
    program = torch.onnx.export(module, (x,), dynamo=True, optimize=False, verbose=False, **options)
    return onnx.load_model(io.BytesIO(program.model_proto.SerializeToString()))


@pytest.mark.parametrize("opset", [18, 21])
def test_group_norm(opset: int) -> None:
    """Written out as an instance norm between reshapes, or as one operator."""
    network = GroupNorm()
    nn.init.uniform_(network.norm.weight, 0.5, 1.5)
    nn.init.normal_(network.norm.bias)
    model = exported(network, torch.randn(2, 3, 6, 6), opset_version=opset)
    prune(model)


def test_group_norm_operator() -> None:
    model = build(
        """
        net (float[1,3,4,4] x) => (float[1,2,4,4] y) {
            a = Conv (x, w1)
            n = GroupNormalization <num_groups = 4> (a, scale, bias)
            y = Conv (n, w2)
        }
        """,
        opset=21,
        w1=(16, 3, 1, 1),
        scale=(16,),
        bias=(16,),
        w2=(2, 16, 1, 1),
    )
    prune(model)


@pytest.mark.parametrize("split", [True, False])
def test_attention_operator_keeps_its_scale(split: bool) -> None:
    if split:
        lines = "a = Attention <q_num_heads = 4, kv_num_heads = 4> (q, k, v)"
    else:
        lines = """
            to = Constant <value_ints = [2, 6, 4, -1]> ()
            q4 = Reshape (q, to)
            k4 = Reshape (k, to)
            v4 = Reshape (v, to)
            qt = Transpose <perm = [0, 2, 1, 3]> (q4)
            kt = Transpose <perm = [0, 2, 1, 3]> (k4)
            vt = Transpose <perm = [0, 2, 1, 3]> (v4)
            at = Attention (qt, kt, vt)
            a4 = Transpose <perm = [0, 2, 1, 3]> (at)
            back = Constant <value_ints = [2, 6, 24]> ()
            a = Reshape (a4, back)
        """
    model = build(
        "net (float[2,6,16] x) => (float[2,6,5] y) { q = MatMul (x, wq) k = MatMul (x, wk) "
        "v = MatMul (x, wv) " + lines + " y = MatMul (a, wo) }",
        opset=23,
        wq=(16, 16),
        wk=(16, 16),
        wv=(16, 24),
        wo=(24, 5),
    )
    prune(model)
    assert attribute(model, "Attention", "scale") == [0.5]
    assert array(model, "wq").shape == (16, 4)


def test_shuffle_and_sequences() -> None:
    class Shuffle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 8, 1)
            self.branch = nn.Conv2d(4, 4, 1)
            self.last = nn.Conv2d(8, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            left, right = self.first(x).chunk(2, dim=1)
            x = torch.cat([left, self.branch(right)], dim=1)
            x = x.view(x.shape[0], 2, 4, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
            return self.last(x)

    batch = torch.export.Dim("batch")
    model = exported(Shuffle(), torch.randn(2, 3, 4, 4), dynamic_shapes=({0: batch},))
    assert "SplitToSequence" in {n.op_type for n in model.graph.node}
    prune(model)
    name = model.graph.input[0].name
    assert outputs(model, **{name: np.zeros((5, 3, 4, 4), np.float32)})[0].shape == (5, 2, 4, 4)


def test_functions_are_written_out_and_put_back() -> None:
    model = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 18, "local": 1]>
        net (float[1,4] x) => (float[1,3] y) {
            h = local.dense (x, w)
            y = MatMul (h, v)
        }
        <domain: "local", opset_import: ["": 18]>
        dense (a, b) => (c) { d = MatMul (a, b) c = Relu (d) }
    """)
    rng = np.random.default_rng(0)
    for name, shape in {"w": (4, 6), "v": (6, 3)}.items():
        tensor = rng.standard_normal(shape).astype(np.float32)
        model.graph.initializer.append(onnx.numpy_helper.from_array(tensor, name))
    prune(model)


def test_descriptions_of_values_follow() -> None:
    model = onnx.shape_inference.infer_shapes(convs())
    assert {i.name: i.type.tensor_type.shape.dim[1].dim_value for i in model.graph.value_info}[
        "a"
    ] == 8
    prune(model)
    infos = {i.name: i.type.tensor_type.shape.dim for i in model.graph.value_info}
    assert infos["a"][1].dim_value == 4
    assert infos["a"][0].dim_param == "N"


def test_a_wrong_coupling_is_refused_and_undone() -> None:
    model = convs()
    backend = OnnxBackend(model)
    graph, before = backend.capture(), content(model)
    removed = np.arange(8) < 3
    names = [("w1", 0), ("b1", 0), ("a", 1), ("scale", 0), ("bias", 0), ("mean", 0), ("var", 0)]
    # Two convolutions disagree about the number of channels.
    with pytest.raises(VerificationFailed):
        backend.apply(hand_made(graph, *names), removed)
    assert content(model) == before
    # Numbers fit, but the classifier loses other channels than the convolutions.
    values = [*names, ("n", 1), ("r", 1), ("w2", 0), ("d", 1), ("p", 1), ("f", 1), ("w3", 1)]
    coupling = hand_made(graph, *values, order=-1)
    groups = next(n.attrs["groups"] for n in graph.nodes if "groups" in n.attrs)
    coupling.axes[groups, 0] = np.arange(8)[:, None]
    with pytest.raises(VerificationFailed, match="differs from the masked original"):
        backend.apply(coupling, removed)
    assert content(model) == before
    change, verification = backend.apply(coupling, removed, verify=False)
    assert verification.error is None
    change.undo()
    assert content(model) == before


def test_changes_from_outside_are_noticed() -> None:
    model = convs()
    backend = OnnxBackend(model)
    coupling = couple(backend.capture())
    removed = half(coupling)
    change, _ = backend.apply(coupling, removed)
    with pytest.raises(StaleSession, match="another state"):
        backend.apply(coupling, removed)
    change.undo()
    backend.apply(coupling, removed)[0].undo()
    node = model.graph.node.pop()
    with pytest.raises(StaleSession, match="from outside"):
        backend.check()
    with pytest.raises(StaleSession):
        change.redo()
    model.graph.node.append(node)
    change.redo()


def test_weights_may_be_trained_between_prune_and_undo() -> None:
    model = convs()
    backend = OnnxBackend(model)
    coupling = couple(backend.capture())
    change, _ = backend.apply(coupling, half(coupling))
    index = next(i for i, t in enumerate(model.graph.initializer) if t.name == "w1")
    trained = array(model, "w1") * 2
    model.graph.initializer[index].CopyFrom(onnx.numpy_helper.from_array(trained, "w1"))
    change.undo()
    change.redo()
    np.testing.assert_array_equal(array(model, "w1"), trained)


PADDED = """
net (float[N,3,4,4] x) => (float[N,2,4,4] y) {
    a = Conv (x, w1)
    p = Pad (a, pads)
    r = Relu (p)
    y = Conv (r, w2)
}
"""


def test_pad_of_channels() -> None:
    """Channels of zeros stand beside the others; the amounts are written anew."""
    pads = np.array([0, 1, 0, 0, 0, 3, 0, 0])
    model = build(PADDED, w1=(4, 3, 1, 1), w2=(2, 8, 1, 1), pads=pads)
    _, coupling, removed = prune(model)
    (padded,) = (n.outputs[0] for n in coupling.graph.nodes if n.op == "Pad")
    new = array(model, next(n.input[1] for n in model.graph.node if n.op_type == "Pad"))
    assert array(model, "w1").shape[0] + new[1] + new[5] == coupling.size((padded, 1), removed)
    assert array(model, "w2").shape[1] < 8


def test_operator_that_other_front_ends_write_otherwise() -> None:
    """A name that the standard graph knows says nothing of ONNX's own operands."""
    text = """
    net (float[N,6] x) => (float[N,3] y) {
        a = MatMul (x, w1)
        count = Constant <value_ints = [3]> ()
        y, i = TopK <axis = -1> (a, count)
    }
    """
    coupling = couple(OnnxBackend(build(text, w1=(6, 8))).capture())
    assert any("TopK" in reason for reason in coupling.reasons.values())
