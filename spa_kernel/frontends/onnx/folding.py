"""What can be known of an ONNX model without running it: sizes, and what is made of them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

import numpy as np
import onnx

from spa_kernel.frontends.onnx import infer

if TYPE_CHECKING:
    from spa_kernel.frontends.onnx.capture import Captured

FEW, KNOWN = 64, 2**24
"""Entries of operands that are looked into without a thought, and of results at most."""
GROWING = frozenset(
    "ConstantOfShape Expand Tile Range Pad OneHot EyeLike Resize Upsample CenterCropPad "
    "HannWindow HammingWindow BlackmanWindow MelWeightMatrix MaxUnpool Col2Im".split()
)
"""Operators whose results may be of any size, however small their operands are."""
SETTINGS = frozenset(
    "Reshape Expand Tile Squeeze Unsqueeze Slice Split Pad Clip Resize ReduceSum ReduceMean "
    "ReduceMax ReduceMin ReduceProd CumSum TopK".split()
)
"""Operators whose first operand is data; the others say what to do with it."""


def from_tables(captured: Captured, node: onnx.NodeProto) -> bool:
    """Whether a folded node rearranges stored tensors, so that it belongs to the graph.

    What an operator without a converter makes of integers is a table of its own.
    """
    from spa_kernel.frontends.onnx.convert import described

    def table(name: str) -> bool:
        if name not in captured.tensors or captured.known[name].size == 1:
            return False
        return captured.known[name].dtype.kind == "f" or described(node)

    names = folded_inputs(node)[: 1 if node.op_type in SETTINGS else None]
    return any(name in captured.literal or table(name) for name in names)


def fold(captured: Captured, node: onnx.NodeProto) -> dict[str, np.ndarray] | None:
    names = folded_inputs(node)
    if node.op_type in ("Shape", "Size") and node.domain in ("", "ai.onnx"):
        if names[0] in captured.sequences:
            return None
        return {node.output[0]: shape_of(node, captured.meta(names[0])[1])}
    feeds = {}
    for name in names:
        content = captured.content(name)
        if content is None:
            return None
        feeds[name] = content
    if node.op_type == "CastLike":
        elem = captured.meta(node.input[1])[0]
        feeds[node.input[1]] = np.zeros((), onnx.helper.tensor_dtype_to_np_dtype(elem))
    if not names or not affordable(captured, node, feeds):
        return None
    return infer.evaluate(node, feeds, captured.opsets)


def affordable(captured: Captured, node: onnx.NodeProto, feeds: dict[str, np.ndarray]) -> bool:
    """Whether what a node makes of known operands is of a size that can be looked into."""
    if sum(array.size for array in feeds.values()) <= FEW and node.op_type not in GROWING:
        return True
    types = {name: infer.tensor_type(*captured.meta(name)) for name in node.input if name}
    found = infer.infer_shapes(node, types, feeds, captured.opsets, captured.model.ir_version)
    return found is not None and all(prod(shape) <= KNOWN for _, shape in found.values())


def folded_inputs(node: onnx.NodeProto) -> list[str]:
    """The operands that a node's output depends on; CastLike only looks at a type."""
    names = node.input[:1] if node.op_type == "CastLike" else node.input
    return [name for name in names if name]


def shape_of(node: onnx.NodeProto, shape: tuple[int, ...]) -> np.ndarray:
    """What Shape or Size gives."""
    if node.op_type == "Size":
        return np.array(int(np.prod(shape)), dtype=np.int64)
    attrs = {a.name: a.i for a in node.attribute}
    return np.array(shape[attrs.get("start", 0) : attrs.get("end")], dtype=np.int64)
