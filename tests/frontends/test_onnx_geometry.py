"""Strides, dilations and paddings of ONNX convolutions, of all kinds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper, numpy_helper

from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.run import Runner
from spa_kernel.products.uses import convolved, matrix_of

PLAIN = [
    {"pads": [1, 0, 2, 1], "dilations": [1, 2]},
    {"auto_pad": "SAME_UPPER"},
    {"auto_pad": "SAME_LOWER"},
    {"auto_pad": "VALID"},
    {"kernel_shape": [3, 2]},
]
CASES = [
    *(("Conv", case) for case in PLAIN),
    *(("ConvTranspose", case) for case in PLAIN),
    ("ConvTranspose", {"output_shape": [12, 20]}),
    ("ConvTranspose", {"output_shape": [12, 20], "auto_pad": "SAME_UPPER"}),
    ("ConvTranspose", {"output_padding": [1, 0], "pads": [0, 1, 1, 0]}),
]


@pytest.mark.parametrize(("op", "attrs"), CASES)
@pytest.mark.parametrize("strides", [[2, 1], [3, 2]])
def test_a_convolution_is_a_product_of_patches(
    op: str, attrs: dict[str, Any], strides: list[int]
) -> None:
    rng = np.random.default_rng(0)
    shape = (6, 2, 3, 2) if op == "Conv" else (4, 3, 3, 2)
    w, x = (rng.standard_normal(s).astype(np.float32) for s in (shape, (2, 4, 5, 10)))
    if "output_shape" in attrs:
        attrs = {**attrs, "output_shape": [5 * strides[0] - 1, 10 * strides[1]]}
    node = helper.make_node(op, ["x", "w"], ["y"], group=2, strides=strides, **attrs)
    inputs, outputs = (
        [helper.make_tensor_value_info(name, 1, s)] for name, s in (("x", x.shape), ("y", None))
    )
    graph = helper.make_graph([node], "net", inputs, outputs, [numpy_helper.from_array(w, "w")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    (y,) = Runner(model).run({"x": x})
    (product,) = Captured(model).graph.nodes
    use = convolved(torch.tensor(x), w.shape, product.attrs["geometry"])
    matrix = matrix_of(product, 1, torch.tensor(w))
    ((columns, expected),) = use.pieces(use.outputs(torch.tensor(y)), None)
    assert expected is not None
    assert torch.allclose(matrix @ columns, expected, atol=1e-4)
