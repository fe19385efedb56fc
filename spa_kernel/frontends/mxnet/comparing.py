"""Whether a Gluon block and an ONNX model are the same network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx

from spa_kernel.errors import VerificationFailed
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.run import Runner
from spa_kernel.graph.ir import Graph, Value

TOLERANCE = 1e-3
"""Of an output's standard deviation: what MXNet and the ONNX runtime may differ by."""


def convolutions(model: onnx.ModelProto) -> dict[str, int]:
    """How many groups the convolutions of a model have, by the name of their weight."""
    return {
        node.input[1]: next((a.i for a in node.attribute if a.name == "group"), 1)
        for node in model.graph.node
        if node.op_type in ("Conv", "ConvTranspose")
    }


def difference(
    expected: onnx.ModelProto, found: onnx.ModelProto, inputs: Mapping[str, np.ndarray]
) -> str:
    """Where two models differ; an empty string if they are the same network.

    How a shape is worked out on the way makes no difference, what it comes to does.
    """
    one, other = Captured(expected, dict(inputs)), Captured(found, dict(inputs))
    mine, theirs = steps(one.graph), steps(other.graph)
    for node, step, twin in zip(one.graph.nodes, mine, theirs, strict=False):
        if step != twin:
            return node.where
    if mine != theirs:
        return "its last operators"
    for name in one.graph.stored:
        if not same(one.tensors.array(name), other.tensors.array(name)):
            return name
    return ""


def steps(graph: Graph) -> list[Any]:
    """What a graph does, in a form that can be compared: its operators, and then its outputs."""
    labels: dict[Value | None, Any] = {None: None}

    def label(value: Value | None) -> Any:
        if value is not None and value not in labels:
            content = None if value.stored or value.data is None else value.data.tobytes()
            name = "" if value.kind == "constant" else value.name
            labels[value] = value.kind, name, value.shape, value.dtype, content
        return labels[value]

    found: list[Any] = []
    for at, node in enumerate(graph.nodes):
        operands = [label(value) for value in node.inputs]
        for slot, value in enumerate(node.outputs):
            labels[value] = at, slot, value.shape, value.dtype
        results = [label(value) for value in node.outputs]
        found.append((node.op, repr(sorted(node.attrs.items())), operands, results))
    return [*found, [label(value) for value in graph.outputs]]


def same(one: np.ndarray, other: np.ndarray) -> bool:
    """Bit for bit."""
    return (
        one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    )


def for_batches(
    model: onnx.ModelProto,
    inputs: Mapping[str, np.ndarray],
    run: Callable[[Mapping[str, np.ndarray]], list[np.ndarray]],
) -> onnx.ModelProto:
    """The model for batches of any size, if it computes what the block does on a larger one.

    The exporter writes the sizes of the example. A model that keeps them takes data in pieces of
    its size, and what is squared batch by batch would come out as another number.

    Parameters
    ----------
    model : onnx.ModelProto
    inputs : dict of str to numpy.ndarray
        The example.
    run : callable
        The outputs of the block.
    """
    twice = {name: np.repeat(array, 2, axis=0) for name, array in inputs.items() if array.ndim}
    sizes = {len(array) for array in twice.values()}
    if len(sizes) != 1 or len(twice) != len(inputs):
        return model
    [size] = sizes
    free = onnx.ModelProto()
    free.CopyFrom(model)
    try:
        found = run(twice)
        given = [twice[info.name] for info in free.graph.input]
        for info, array in zip(
            [*free.graph.input, *free.graph.output], [*given, *found], strict=True
        ):
            for dim, n in zip(info.type.tensor_type.shape.dim, array.shape, strict=True):
                if n == size and dim.dim_value != n:
                    dim.dim_param = "batch"
                elif dim.dim_value != n:
                    dim.Clear()
        agree(found, free, twice)
    except Exception:
        # Its size is written in the code, or into what the exporter makes of it.
        return model
    return free


def agree(
    expected: list[np.ndarray], model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]
) -> None:
    """Compare what MXNet computed with what an ONNX model computes.

    Raises
    ------
    VerificationFailed
    """
    fed = {info.name for info in model.graph.input}
    found = Runner(model).run({name: array for name, array in inputs.items() if name in fed})
    if len(expected) != len(found):
        raise VerificationFailed(f"{len(expected)} outputs have become {len(found)}")
    for mine, other in zip(expected, found, strict=True):
        if mine.shape != other.shape:
            raise VerificationFailed(f"MXNet makes {mine.shape}, the ONNX model {other.shape}")
        scale = float(mine.std()) or 1.0
        gap = float(np.abs(mine.astype(np.float64) - other).max(initial=0)) / scale
        if not gap <= TOLERANCE:
            raise VerificationFailed(
                f"what MXNet computes and what the ONNX model computes differ by {gap:.2g} of the "
                "output's standard deviation"
            )
