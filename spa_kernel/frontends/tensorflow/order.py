"""The same names and order each time that a model is converted."""

from __future__ import annotations

import re

import onnx

from spa_kernel.frontends.onnx.infer import has_subgraph

NUMBERED = re.compile(r"__\d+(?=$|:)")
"""What tf2onnx makes names unique with: it goes on counting from model to model."""


def settle(model: onnx.ModelProto) -> None:
    """Sort nodes and weights by what the outputs need first, and number names in that order."""
    graph = model.graph
    if any(map(has_subgraph, graph.node)):
        return
    makers = {name: node for node in graph.node for name in node.output}
    stored = {tensor.name: tensor for tensor in graph.initializer}
    nodes: dict[int, onnx.NodeProto] = {}
    weights: dict[str, onnx.TensorProto] = {}
    pending: list[tuple[str, bool]] = [(out.name, False) for out in reversed(graph.output)]
    while pending:
        name, ready = pending.pop()
        node = makers.get(name)
        if node is None:
            if name in stored:
                weights.setdefault(name, stored[name])
        elif ready:
            nodes.setdefault(id(node), node)
        elif id(node) not in nodes:
            pending.append((name, True))
            pending += [(part, False) for part in reversed(node.input)]
    kept = {info.name for info in (*graph.input, *graph.output)}
    new: dict[str, str] = {"": ""}
    order = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes.values()]
    tensors = list(weights.values())
    for at, node in enumerate(order):
        node.name = f"{at}_{node.op_type}"
        for name in (*node.input, *node.output):
            fixed = name in kept or not NUMBERED.search(name)
            # Of equal constants it keeps any one.
            stem = "constant" if name in stored else NUMBERED.split(name)[0]
            new.setdefault(name, name if fixed else f"{stem}__{len(new)}")
        node.input[:] = [new[name] for name in node.input]
        node.output[:] = [new[name] for name in node.output]
    for tensor in tensors:
        tensor.name = new[tensor.name]
    copies = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in tensors]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(order)
    graph.initializer.extend(copies)
