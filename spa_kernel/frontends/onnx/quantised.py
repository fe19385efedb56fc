"""Stored whole numbers that stand for weights: w = (q - zero point) · scale."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import onnx

from spa_kernel.frontends.onnx.tensors import Tensors

PLACES = {
    "DequantizeLinear": (0, 1, 2, 1),
    "QLinearConv": (3, 4, 5, 0),
    "QLinearMatMul": (3, 4, 5, -1),
    "ConvInteger": (1, -1, 3, 0),
    "MatMulInteger": (1, -1, 3, -1),
}
"""Operands with the numbers, the scale and the zero point, and the axis that these two have."""
BETWEEN = frozenset({"Cast", "Add", "Reshape"})
"""Operators between a sum of whole numbers and the scale that it is multiplied by."""


@dataclass(frozen=True, slots=True)
class Quantised:
    """Names of the stored scale and zero point of a weight (or ``""``), and their axis."""

    scale: str
    zero: str
    axis: int


def quantised_weights(model: onnx.ModelProto, tensors: Tensors) -> dict[str, Quantised]:
    """All weights that are stored as whole numbers and mean the same to everyone who reads them."""
    found: dict[str, Quantised] = {}
    uses = Counter(name for node in model.graph.node for name in node.input)
    read: Counter[str] = Counter()
    several, shifted = set(), set()
    for node in model.graph.node:
        if node.op_type not in PLACES or node.domain not in ("", "ai.onnx"):
            continue
        at, scale_at, zero_at, axis = PLACES[node.op_type]
        operands = [*node.input, *[""] * 9]
        name, zero = operands[at], operands[zero_at]
        if name not in tensors or (zero and zero not in tensors):
            continue
        scale = operands[scale_at] if scale_at >= 0 else scale_after(model, node, tensors)
        given = next((a.i for a in node.attribute if a.name == "axis"), axis)
        item = Quantised(
            scale if scale in tensors else "", zero, given % max(len(tensors.meta(name)[0]), 1)
        )
        read[name] += 1
        if zero and tensors.array(zero).any():
            shifted.add(name)
        if found.setdefault(name, item) != item:
            several.add(name)
    for name in shifted:
        if name in several or read[name] < uses[name]:
            del found[name]
    return found


def scale_after(model: onnx.ModelProto, node: onnx.NodeProto, tensors: Tensors) -> str:
    """The weight's part of the scale that a sum of whole numbers is multiplied by later on."""
    made = {name: n for n in model.graph.node for name in n.output}
    out = node.output[0]
    for later in model.graph.node:
        if out not in later.input:
            continue
        if later.op_type in BETWEEN:
            out = later.output[0]
        elif later.op_type == "Mul":
            (other,) = [name for name in later.input if name != out][:1] or [""]
            scales = made[other].input if other in made else [other]
            return next((name for name in scales if name in tensors), "")
        else:
            break
    return ""


def along(table: np.ndarray, shape: tuple[int, ...], axis: int) -> np.ndarray | None:
    """One number, or one for each index of an axis, as something that broadcasts."""
    if table.size == 1:
        return table.reshape(())
    if table.ndim != 1 or table.size != shape[axis]:
        return None
    return table.reshape([-1 if i == axis else 1 for i in range(len(shape))])


def dequantised(content: np.ndarray, item: Quantised, tensors: Tensors) -> np.ndarray:
    """What stored whole numbers stand for, as far as that is stored too."""
    made = content.astype(np.float32)
    for name, combine in ((item.zero, np.subtract), (item.scale, np.multiply)):
        table = tensors.array(name).astype(np.float32) if name else None
        table = None if table is None else along(table, content.shape, item.axis)
        if table is not None:
            made = combine(made, table)
    return made
