"""A list of numbers becomes an ONNX model: operators on a growing set of tensors."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from . import onnx_integer_parts, onnx_parts
from .network import WISHES
from .onnx_maker import IMAGES, LENGTH, SIDE, TOKENS, Maker, Shape

__all__ = ["build", "onnx_integer_parts", "onnx_parts"]

OPSETS = 9, 11, 12, 13, 15, 17, 18, 20


def limits(shape: Shape) -> bool:
    return all(shape) and np.prod(shape) <= 4096 and max(shape) <= 64


def build(number: int, steps: int | None = None) -> tuple[onnx.ModelProto, dict[str, Any]]:
    """The model with this number, cut off after some steps, and how it is to be pruned."""
    draw = random.Random(number)
    wishes, m = dict(draw.choice(WISHES)), Maker(draw, draw.choice(OPSETS))
    image = draw.random() < 0.6
    m.shapes["x"] = (2, 3, SIDE, SIDE) if image else (2, LENGTH, 6)
    m.images, m.tokens = (["x"], []) if image else ([], ["x"])
    latest, wanted = "x", draw.randint(3, 14)
    for _ in range(wanted if steps is None else min(steps, wanted)):
        kind = IMAGES if len(m.shapes[latest]) == 4 else TOKENS
        weighty = [name for name in ("conv", "matmul", "mlp", "recurrent", "attend")
                   if name in kind]  # fmt: skip
        name = draw.choice(weighty if draw.random() < 0.35 else sorted(kind))
        pool_ = m.images if kind is IMAGES else m.tokens
        x = latest if draw.random() < 0.75 else draw.choice(pool_)
        before = len(m.nodes)
        found = kind[name](m, x)
        if found is None or not limits(m.shapes[found]):
            del m.nodes[before:]
            continue
        latest = found
        (m.images if len(m.shapes[found]) == 4 else m.tokens).append(found)
    shape = m.shapes[latest]
    c = shape[1] if len(shape) == 4 else shape[2]
    if len(shape) == 4:
        y = m.add("GlobalAveragePool", [latest], (2, c, 1, 1))
        y = m.add("Flatten", [y], (2, c))
        y = m.add("Gemm", [y, m.weight(4, c), m.weight(4)], (2, 4), transB=1)
    else:
        y = m.add("MatMul", [latest, m.weight(c, 4)], (*shape[:2], 4))
    used = {name for node in m.nodes for name in node.input}
    info, float32 = helper.make_tensor_value_info, TensorProto.FLOAT
    stored = [numpy_helper.from_array(a, name) for name, a in m.stored.items() if name in used]
    free = draw.random() < 0.3
    given = info("x", float32, [("batch" if free else 2), *m.shapes["x"][1:]])
    out = info(y, float32, [("batch" if free else 2), *m.shapes[y][1:]])
    graph = helper.make_graph(m.nodes, f"random {number}", [given], [out], stored)
    version = 8 if m.opset < 20 else 9
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", m.opset)], ir_version=version
    )
    return model, wishes
