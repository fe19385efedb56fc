"""What is looked at before anything of an ONNX model is used, as it may come from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from math import prod

import onnx
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, defs, helper

from spa_kernel.errors import CaptureError

LARGEST = 2**30
"""Entries of a tensor that the model computes; more would fill the memory of most machines."""
NODES = 10**6
"""Operators of a model with its functions written out."""
BITS = {"UINT4": 4, "INT4": 4, "FLOAT4E2M1": 4, "UINT2": 2, "INT2": 2}
"""Of element types that share bytes."""


def check_sound(model: onnx.ModelProto) -> None:
    """That a model holds a network whose tensors are what they say they are.

    Raises
    ------
    CaptureError
    """
    graph = model.graph
    if not graph.node or not graph.output:
        raise CaptureError("the model holds no network: it has no operators, or no outputs")
    known = defs.onnx_opset_version()
    for entry in model.opset_import:
        if entry.domain in ("", "ai.onnx") and not 1 <= entry.version <= known:
            raise CaptureError(
                f"the model uses operator set {entry.version}, and the onnx package that is "
                f"installed knows 1 to {known}: convert the model, or update onnx"
            )
    check_names(graph)
    for tensor in graph_tensors(graph):
        check_tensor(tensor)
    for function in model.functions:
        for tensor in node_tensors(function.node):
            check_tensor(tensor)
    check_functions(model)


def check_names(graph: GraphProto) -> None:
    """That each name means one value."""
    made = {info.name for info in graph.input} | {t.name for t in graph.initializer}
    for node in graph.node:
        for name in filter(None, node.output):
            if name in made:
                raise CaptureError(f"the model is not valid: {name!r} is made more than once")
            made.add(name)


def graph_tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """All tensors that a graph holds, in attributes and subgraphs too."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from node_tensors(graph.node)


def node_tensors(nodes: Iterable[NodeProto]) -> Iterator[TensorProto]:
    """The same of some nodes."""
    for node in nodes:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else attribute.tensors)
            for sparse in [attribute.sparse_tensor, *attribute.sparse_tensors]:
                yield from (t for t in (sparse.values, sparse.indices) if t.dims)
            for graph in subgraphs(attribute):
                yield from graph_tensors(graph)


def subgraphs(attribute: AttributeProto) -> Iterable[GraphProto]:
    return [attribute.g] if attribute.HasField("g") else attribute.graphs


def check_tensor(tensor: TensorProto) -> None:
    """That a tensor is here, of a known type, and has as many entries as it states."""
    name = f"the tensor {tensor.name!r}" if tensor.name else "a tensor of the model"
    if tensor.data_location == TensorProto.EXTERNAL:
        raise CaptureError(
            f"the content of {name} lies in a file beside the model and was not loaded: pass the "
            "path of the .onnx file, or load it with onnx.load(path)"
        )
    types = TensorProto.DataType
    if tensor.data_type not in types.values() or tensor.data_type == TensorProto.UNDEFINED:
        raise CaptureError(f"{name} has an element type that does not exist: {tensor.data_type}")
    if any(n < 0 for n in tensor.dims):
        raise CaptureError(f"{name} has an axis of a negative size: {list(tensor.dims)}")
    kind, count = types.Name(tensor.data_type), prod(tensor.dims)
    bits = BITS.get(kind, 8)
    if tensor.HasField("raw_data"):
        size = 1 if bits < 8 else helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
        wanted, stored, unit = -(-count * size * bits // 8), len(tensor.raw_data), "bytes"
    else:
        field = helper.tensor_dtype_to_field(tensor.data_type)
        wanted, stored, unit = -(-count * bits // 8), len(getattr(tensor, field)), "entries"
        wanted *= 2 if kind.startswith("COMPLEX") else 1
    if stored != wanted:
        raise CaptureError(
            f"{name} states the shape {list(tensor.dims)}, {wanted} {unit}, and holds {stored}: "
            "the file is damaged"
        )


def check_functions(model: onnx.ModelProto) -> None:
    """That functions do not call themselves, and can be written out."""
    bodies = {(f.domain, f.name, f.overload): f for f in model.functions}
    sizes: dict[tuple[str, str, str], int] = {}
    open_now: set[tuple[str, str, str]] = set()

    def size(nodes: Iterable[NodeProto]) -> int:
        total = 0
        for node in nodes:
            key = node.domain, node.op_type, node.overload
            total += 1 if key not in bodies else of(key)
            total += sum(size(g.node) for a in node.attribute for g in subgraphs(a))
        return total

    def of(key: tuple[str, str, str]) -> int:
        if key in open_now:
            raise CaptureError(f"the model is not valid: its function {key[1]!r} calls itself")
        if key not in sizes:
            open_now.add(key)
            sizes[key] = size(bodies[key].node)
            open_now.remove(key)
        return sizes[key]

    if bodies and size(model.graph.node) > NODES:
        raise CaptureError(f"the model's functions stand for more than {NODES} operators")


def check_size(name: str, shape: tuple[int, ...]) -> None:
    """That a tensor which the model computes, or is fed, can be had at all."""
    if any(n < 0 for n in shape):
        raise CaptureError(f"{name!r} has an axis of a negative size: {list(shape)}")
    if prod(shape) > LARGEST:
        raise CaptureError(
            f"{name!r} would have the shape {list(shape)}, {prod(shape):.3g} entries: give the "
            "model smaller inputs, if it takes these"
        )
