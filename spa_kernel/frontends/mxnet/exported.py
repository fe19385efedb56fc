"""From a Gluon block to an ONNX model, by MXNet's own exporter."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
from mxnet.onnx.mx2onnx._export_onnx import MXNetGraph
from mxnet.onnx.mx2onnx._op_translations._op_translations_opset13 import get_inputs
from onnx import helper, numpy_helper

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.mxnet import mx
from spa_kernel.frontends.mxnet.imported import lent

OPSET = 13
"""The newest that the exporter writes."""
WRITTEN = 17
"""The first with LayerNormalization."""
IR_VERSION = 8
BROADCAST = frozenset("Add Sub Mul Div Pow Max Min Where Less Greater Equal".split())
"""Operators that take a number as well as an array."""


def traced(block: Any, names: list[str]) -> Any:
    """What a block computes, as an MXNet symbol of inputs with these names."""
    with mx.name.NameManager():
        outputs = block(*map(mx.sym.var, names))
    while isinstance(outputs, list | tuple) and len(outputs) == 1:
        outputs = outputs[0]
    if isinstance(outputs, list | tuple):
        flat = list(leaves(outputs))
        if not all(isinstance(symbol, mx.sym.Symbol) for symbol in flat):
            raise CaptureError(f"{type(block).__name__} returns something that is no tensor")
        outputs = mx.sym.Group(flat)
    return outputs


def leaves(outputs: Any) -> Iterator[Any]:
    """What is in nested lists and tuples."""
    if isinstance(outputs, list | tuple):
        for part in outputs:
            yield from leaves(part)
    else:
        yield outputs


def exported(
    symbol: Any, parameters: Mapping[str, Any], inputs: Mapping[str, np.ndarray]
) -> onnx.ModelProto:
    """An ONNX model of what a symbol computes, with MXNet's names for the parameters.

    Parameters
    ----------
    symbol : mxnet.symbol.Symbol
    parameters : dict of str to mxnet.ndarray.NDArray
    inputs : dict of str to numpy.ndarray
        Examples, in the order in which the symbol names its inputs.

    Raises
    ------
    CaptureError
    """
    kinds = [helper.np_dtype_to_tensor_dtype(array.dtype) for array in inputs.values()]
    shapes = [array.shape for array in inputs.values()]
    try:
        with todays_onnx():
            graph = MXNetGraph().create_onnx_graph_proto(
                symbol, parameters, shapes, kinds, opset_version=OPSET, dynamic=False
            )
    except Exception as error:
        reason = str(error).strip() or type(error).__name__
        raise CaptureError(f"MXNet cannot export this block to ONNX: {reason}") from error
    stored = {tensor.name for tensor in graph.initializer}
    fed = [info for info in graph.input if info.name not in stored]
    del graph.input[:]
    graph.input.extend(fed)
    outputs = sorted(graph.output, key=lambda info: position(info.name, symbol.list_outputs()))
    del graph.output[:]
    graph.output.extend(outputs)
    along_channels(graph, symbol, inputs)
    written_numbers(graph, parameters)
    for node in graph.node:
        if node.op_type == "RoiAlign":
            # The one operator that means something else in the newer opset.
            mode = helper.make_attribute("coordinate_transformation_mode", "output_half_pixel")
            node.attribute.append(mode)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", WRITTEN)], ir_version=IR_VERSION
    )
    gammas = unscaled(symbol)
    for tensor in model.graph.initializer:
        if tensor.name in gammas:
            # MXNet's exporter does not know of norms that do without.
            ones = np.ones(tuple(tensor.dims), helper.tensor_dtype_to_np_dtype(tensor.data_type))
            tensor.CopyFrom(numpy_helper.from_array(ones, tensor.name))
    return model


def position(name: str, outputs: list[str]) -> int:
    """Where an output of the ONNX model stands among those of the symbol."""
    called = [re.sub(r"_output(\d*)$", r"\1", output) for output in outputs]
    return called.index(name) if name in called else len(called)


def along_channels(graph: onnx.GraphProto, symbol: Any, inputs: Mapping[str, np.ndarray]) -> None:
    """Let the slopes of PReLU lie along axis 1, as in MXNet; ONNX has them along the last one."""
    internals = symbol.get_internals()
    _, shapes, _ = internals.infer_shape(**{name: a.shape for name, a in inputs.items()})
    ranks = {name: len(s) for name, s in zip(internals.list_outputs(), shapes, strict=True)}
    nodes = []
    for node in graph.node:
        rank = ranks.get(f"{node.output[0]}_output", 2)
        if node.op_type == "PRelu" and rank > 2:
            axes, slopes = f"{node.name}_axes", f"{node.name}_slopes"
            graph.initializer.append(numpy_helper.from_array(np.arange(1, rank - 1), axes))
            nodes.append(helper.make_node("Unsqueeze", [node.input[1], axes], [slopes]))
            node.input[1] = slopes
        nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)


def written_numbers(graph: onnx.GraphProto, parameters: Mapping[str, Any]) -> None:
    """Numbers of the code, as in ``x * 0.5``, without an axis: with one they would be weights."""
    others = {n for node in graph.node if node.op_type not in BROADCAST for n in node.input}
    for tensor in graph.initializer:
        if list(tensor.dims) == [1] and tensor.name not in {*parameters, *others}:
            del tensor.dims[:]


def unscaled(symbol: Any) -> set[str]:
    """The factors of batch norms that have none, whatever is stored for them."""
    nodes = json.loads(symbol.tojson())["nodes"]
    return {
        nodes[node["inputs"][1][0]]["name"]
        for node in nodes
        if node["op"] == "BatchNorm"
        and node.get("attrs", {}).get("fix_gamma", "True") in ("True", "1")
    }


@contextmanager
def todays_onnx() -> Iterator[None]:
    """What MXNet's exporter needs from the onnx package, of which the newest is another one."""
    by_type = {
        np.dtype(helper.tensor_dtype_to_np_dtype(kind)): kind
        for kind in (*range(1, 8), *range(9, 14))
    }
    mapping = SimpleNamespace(
        NP_TYPE_TO_TENSOR_TYPE=by_type,
        TENSOR_TYPE_TO_NP_TYPE={kind: dtype for dtype, kind in by_type.items()},
    )
    converters = MXNetGraph.registry_[OPSET]
    own = {**converters}
    # The check is of the newest opset, which is not the one that is written.
    with lent(onnx, {"mapping": mapping}), lent(onnx.checker, {"check_graph": lambda graph: None}):
        converters |= {"null": stored_or_fed, "LayerNorm": partial(layer_norm, own["LayerNorm"])}
        try:
            yield
        finally:
            converters.clear()
            converters.update(own)


def layer_norm(written_out: Any, node: Mapping[str, Any], **kwargs: Any) -> Any:
    """One operator, where MXNet's own converter writes a dozen: as such its axis can be pruned."""
    name, inputs, attrs = get_inputs(node, kwargs)
    if attrs.get("axis", "-1") != "-1":
        return written_out(node, **kwargs)
    epsilon = float(attrs.get("eps", 1e-5))
    return [helper.make_node("LayerNormalization", inputs, [name], name, epsilon=epsilon)]


def stored_or_fed(node: Mapping[str, Any], **kwargs: Any) -> tuple[list[Any], tuple[Any]]:
    """As MXNet's own converter, which makes a Python list of all numbers on the way."""
    name = node["name"]
    if kwargs["is_input"]:
        dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kwargs["in_type"]))
        info = helper.make_tensor_value_info(name, kwargs["in_type"], kwargs["in_shape"])
        return [info], (dtype,)
    tensor = numpy_helper.from_array(kwargs["weights"][name], name)
    kwargs["initializer"].append(tensor)
    info = helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
    return [info], (kwargs["weights"][name].dtype,)
