"""What single ONNX nodes compute: values where the operands are known, else static shapes."""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

import numpy as np
import onnx
from onnx import TypeProto, defs, helper, numpy_helper, shape_inference
from onnx.reference import ReferenceEvaluator

RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
RANDOM |= {"Multinomial", "Bernoulli"}


def has_subgraph(node: onnx.NodeProto) -> bool:
    return any(a.HasField("g") or a.graphs for a in node.attribute)


def outer_names(node: onnx.NodeProto) -> list[str]:
    """Values that the node's subgraphs read from outside of themselves."""
    found: dict[str, None] = {}
    for attribute in node.attribute:
        for graph in [attribute.g] if attribute.HasField("g") else attribute.graphs:
            inside = {i.name for i in graph.input} | {t.name for t in graph.initializer}
            for inner in graph.node:
                for name in (*inner.input, *outer_names(inner)):
                    if name and name not in inside:
                        found[name] = None
                inside.update(inner.output)
            found.update((o.name, None) for o in graph.output if o.name not in inside)
    return list(found)


def evaluate(
    node: onnx.NodeProto, feeds: Mapping[str, np.ndarray], opsets: dict[str, int]
) -> dict[str, np.ndarray] | None:
    """The outputs of a node whose operands are all known; ``None`` if it cannot be computed."""
    if node.op_type in RANDOM or has_subgraph(node):
        return None
    try:
        if node.op_type == "Unsqueeze" and len(node.input) == 1:
            # onnx's evaluator fails on the attribute of older operator sets.
            (axes,) = (tuple(a.ints) for a in node.attribute)
            return {node.output[0]: np.expand_dims(feeds[node.input[0]], axes)}
        results = ReferenceEvaluator(node, opsets=opsets).run(None, dict(feeds))
    except Exception:
        # The reference evaluator raises all sorts; what it cannot compute stays an operator.
        return None
    outputs = dict(zip((o for o in node.output if o), results, strict=False))
    if not all(isinstance(v, np.ndarray | np.generic) for v in outputs.values()):
        return None
    return {name: np.asarray(v) for name, v in outputs.items()}


def infer_shapes(
    node: onnx.NodeProto,
    types: Mapping[str, TypeProto],
    data: Mapping[str, np.ndarray],
    opsets: dict[str, int],
    ir_version: int,
) -> dict[str, tuple[int, tuple[int, ...]]] | None:
    """Element type and static shape of each output; ``None`` where a shape stays open."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    if node.op_type == "Range" and not domain and all(name in data for name in node.input):
        # Shape inference would count all of it.
        start, stop, step = (data[name].item() for name in node.input)
        count = max(0, ceil((stop - start) / step)) if step else 0
        return {node.output[0]: (types[node.input[0]].tensor_type.elem_type, (count,))}
    try:
        schema = defs.get_schema(node.op_type, opsets.get(domain, 1), domain)
        found = shape_inference.infer_node_outputs(
            schema,
            node,
            dict(types),
            {name: numpy_helper.from_array(np.asarray(v), name) for name, v in data.items()},
            opset_imports=[helper.make_opsetid(d, v) for d, v in opsets.items()],
            ir_version=ir_version,
        )
    except (defs.SchemaError, shape_inference.InferenceError, RuntimeError):
        return None
    shapes = {}
    for name in filter(None, node.output):
        static = static_shape(found[name]) if name in found else None
        if static is None:
            return None
        shapes[name] = (found[name].tensor_type.elem_type, static)
    return shapes


def static_shape(kind: TypeProto) -> tuple[int, ...] | None:
    """The shape of a tensor type if all its sizes are numbers."""
    tensor = kind.tensor_type
    if not kind.HasField("tensor_type") or not tensor.HasField("shape"):
        return None
    if not all(dim.HasField("dim_value") and dim.dim_value != -1 for dim in tensor.shape.dim):
        return None
    return tuple(dim.dim_value for dim in tensor.shape.dim)


def tensor_type(elem_type: int, shape: tuple[int, ...]) -> TypeProto:
    return helper.make_tensor_type_proto(elem_type, shape)


def dtype_name(elem_type: int) -> str:
    """numpy-style name of an ONNX element type."""
    return str(helper.tensor_dtype_to_np_dtype(elem_type))
