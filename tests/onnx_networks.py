"""Small ONNX models, written as text, with random weights of ordinary size."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper, parser

from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Graph
from spa_kernel.plan.units import label_groups, make_units

Shape = tuple[int, ...]


def build(
    text: str, *, opset: int = 18, domains: str = "", seed: int = 0, **stored: Any
) -> onnx.ModelProto:
    """A model from a graph in ONNX's text form; stored tensors by shape or content."""
    model = parser.parse_model(
        f'<ir_version: 9, opset_import: ["": {opset}{domains}]>\n' + text.strip()
    )
    rng = np.random.default_rng(seed)
    for name, content in stored.items():
        if isinstance(content, tuple):
            # Statistics and scales are positive.
            array = rng.uniform(0.5, 1.5, content) if len(content) == 1 else None
            if array is None:
                array = rng.standard_normal(content) / np.sqrt(np.prod(content[1:]))
            content = array.astype(np.float32)
        model.graph.initializer.append(numpy_helper.from_array(np.asarray(content), name))
    onnx.checker.check_model(model)
    return model


def half(coupling: Coupling, seed: int = 0, ratio: float = 0.5) -> np.ndarray:
    """Removes half of each prunable group, at random, and equally many in all of its blocks."""
    rng = np.random.default_rng(seed)
    removed = np.zeros(coupling.count, dtype=bool)
    units = make_units(coupling, rng.random(coupling.count), ~coupling.frozen, ~coupling.frozen)
    groups = label_groups(coupling)[units.labels[units.starts]]
    for number in np.unique(groups):
        own = np.flatnonzero(groups == number)
        chosen = rng.permutation(own)[: int(len(own) * ratio)]
        removed |= units.mark(np.isin(np.arange(len(units)), chosen), coupling.count)
    assert removed.any()
    return removed


def ops(graph: Graph) -> list[str]:
    return [node.op for node in graph.nodes]


def array(model: onnx.ModelProto, name: str) -> np.ndarray:
    (tensor,) = (t for t in model.graph.initializer if t.name == name)
    return numpy_helper.to_array(tensor)


def content(model: onnx.ModelProto) -> bytes:
    """Every bit of a model."""
    return model.SerializeToString(deterministic=True)


CONVS = """
net (float[N,3,8,8] x) => (float[N,5] y) {
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    n = BatchNormalization (a, scale, bias, mean, var)
    r = Relu (n)
    d = Conv <group = 8, pads = [1,1,1,1]> (r, w2)
    p = GlobalAveragePool (d)
    f = Flatten (p)
    y = Gemm <transB = 1> (f, w3, b3)
}
"""


def convs() -> onnx.ModelProto:
    """Convolution, batch norm, depthwise convolution, classifier; any batch size."""
    return build(
        CONVS,
        w1=(8, 3, 3, 3),
        b1=(8,),
        scale=(8,),
        bias=(8,),
        mean=(8,),
        var=(8,),
        w2=(8, 1, 3, 3),
        w3=(5, 8),
        b3=(5,),
    )


ATTENTION = """
net (float[N,T,12] x) => (float[N,T,12] y) {
    h = LayerNormalization <axis = -1> (x0, scale, bias)
    qkv = MatMul (h, wqkv)
    q, k, v = Split <axis = 2, num_outputs = 3> (qkv)
    shape = Shape (x)
    first = Constant <value_ints = [0]> ()
    second = Constant <value_ints = [1]> ()
    n = Gather (shape, first)
    t = Gather (shape, second)
    heads = Constant <value_ints = [2]> ()
    width = Constant <value_ints = [6]> ()
    to = Concat <axis = 0> (n, t, heads, width)
    q4 = Reshape (q, to)
    k4 = Reshape (k, to)
    v4 = Reshape (v, to)
    qt = Transpose <perm = [0,2,1,3]> (q4)
    kt = Transpose <perm = [0,2,3,1]> (k4)
    vt = Transpose <perm = [0,2,1,3]> (v4)
    qs = Shape <start = 3> (qt)
    qf = Cast <to = 1> (qs)
    root = Sqrt (qf)
    s = MatMul (qt, kt)
    scaled = Div (s, root)
    p = Softmax <axis = -1> (scaled)
    o = MatMul (p, vt)
    ot = Transpose <perm = [0,2,1,3]> (o)
    all = Constant <value_ints = [12]> ()
    back = Concat <axis = 0> (n, t, all)
    flat = Reshape (ot, back)
    out = MatMul (flat, wo)
    res = Add (out, x0)
    y = MatMul (res, w1)
    x0 = MatMul (x, w0)
}
"""


def attention() -> onnx.ModelProto:
    """Attention whose sizes and scale are computed by the model; any batch and length."""
    lines = ATTENTION.strip().splitlines()
    lines.insert(1, lines.pop(-2))  # x0 first
    return build(
        "\n".join(lines),
        scale=(16,),
        bias=(16,),
        w0=(12, 16),
        wqkv=(16, 36),
        wo=(12, 16),
        w1=(16, 12),
    )
