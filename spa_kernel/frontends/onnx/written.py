"""Models whose functions, and branches that are always taken, are written out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import onnx
from onnx import helper, inliner, shape_inference

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.beside import without_weights
from spa_kernel.frontends.onnx.folding import shape_of
from spa_kernel.frontends.onnx.soundness import subgraphs
from spa_kernel.frontends.onnx.tensors import Tensors

OWN = "", "ai.onnx"
FEW = 64
"""Entries of tensors that conditions are worked out from."""
CHEAP = frozenset(
    "Identity Cast Not And Or Xor Equal Greater GreaterOrEqual Less LessOrEqual Add Sub Mul Div "
    "Mod Gather Slice Squeeze Unsqueeze Concat Reshape ReduceProd ReduceSum ReduceMin ReduceMax "
    "Min Max Where".split()
)
"""Operators that conditions are made of."""


def inline(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself, or a copy that calls no functions, and has no branch that is always taken.

    Raises
    ------
    CaptureError
    """
    written = model
    if model.functions:
        # The inliner takes what protocol buffers hold in one piece: names, but no weights.
        light = without_weights(model)
        light.graph.initializer.extend(
            onnx.TensorProto(name=t.name, data_type=t.data_type) for t in model.graph.initializer
        )
        try:
            written = inliner.inline_local_functions(light)
        except Exception as error:
            raise CaptureError(f"the model's functions cannot be written out: {error}") from error
        del written.graph.initializer[:]
        written.graph.initializer.MergeFrom(model.graph.initializer)
    while found := list(settled_branches(written)):
        if written is model:
            written = onnx.ModelProto()
            written.CopyFrom(model)
        for i, body in found[::-1]:
            take(written.graph, i, body)
    return written


def settled_branches(model: onnx.ModelProto) -> Iterator[tuple[int, onnx.GraphProto]]:
    """Position of each If that takes the same branch whenever the model runs, and that branch."""
    if not any(node.op_type == "If" and node.domain in OWN for node in model.graph.node):
        return
    conditions = Conditions(model)
    for i, node in enumerate(model.graph.node):
        if node.op_type == "If" and node.domain in OWN and node.input:
            content = conditions.content(node.input[0])
            if content is None or content.size != 1:
                continue
            body = body_of(node, bool(content.item()))
            if body is not None:
                yield i, body


class Conditions:
    """What follows from stored tensors, and from those sizes that the model fixes."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.opsets = {"" if o.domain in OWN else o.domain: o.version for o in model.opset_import}
        self._tensors = Tensors(model)
        # A caller may feed what is stored, where it is listed as an input too.
        self._fed = {info.name for info in model.graph.input}
        self._made = {name: node for node in model.graph.node for name in node.output if name}
        self._shapes: dict[str, list[int | None]] = {}
        self._known: dict[str, np.ndarray | None] = {}
        self._infer(model)

    def _infer(self, model: onnx.ModelProto) -> None:
        """Sizes that hold whatever is fed."""
        if "Range" in operators(model.graph.node):
            return  # inference would count all of it
        light = onnx.ModelProto(ir_version=model.ir_version, graph=onnx.GraphProto())
        light.opset_import.extend(model.opset_import)
        light.graph.name = model.graph.name or "graph"
        for field in ("node", "input", "output"):
            getattr(light.graph, field).extend(getattr(model.graph, field))
        for tensor in model.graph.initializer:
            if tensor.name in self._fed:
                continue
            if np.prod(tensor.dims) <= FEW:
                light.graph.initializer.append(tensor)
            else:
                info = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
                light.graph.input.append(info)
        try:
            found = shape_inference.infer_shapes(light, data_prop=True).graph
        except (RuntimeError, ValueError, shape_inference.InferenceError):
            return
        for info in (*found.value_info, *found.input):
            tensor = info.type.tensor_type
            if info.type.HasField("tensor_type") and tensor.HasField("shape"):
                self._shapes[info.name] = [
                    d.dim_value if d.HasField("dim_value") and d.dim_value >= 0 else None
                    for d in tensor.shape.dim
                ]

    def content(self, name: str) -> np.ndarray | None:
        if name not in self._known:
            self._known[name] = None  # also for a cycle
            self._known[name] = self._content(name)
        return self._known[name]

    def _content(self, name: str) -> np.ndarray | None:
        if name in self._fed:
            return None
        if name in self._tensors:
            few = np.prod(self._tensors.meta(name)[0]) <= FEW
            return self._tensors.array(name) if few else None
        node = self._made.get(name)
        if node is None or node.domain not in OWN:
            return None
        if node.op_type in ("Shape", "Size"):
            shape = self._shapes.get(node.input[0])
            known = shape is not None and None not in shape
            return shape_of(node, tuple(n or 0 for n in shape)) if shape and known else None
        if node.op_type == "Gather" and (size := self._one_size(node)) is not None:
            return size
        feeds = {n: v for n in node.input if n and (v := self.content(n)) is not None}
        complete = feeds and all(n in feeds for n in node.input if n)
        if not complete or node.op_type not in CHEAP or sum(v.size for v in feeds.values()) > FEW:
            return None
        return (infer.evaluate(node, feeds, self.opsets) or {}).get(name)

    def _one_size(self, node: onnx.NodeProto) -> np.ndarray | None:
        """A single size, though others of the same tensor may not be fixed."""
        shape_of, index = self._made.get(node.input[0]), self.content(node.input[1])
        if shape_of is None or shape_of.op_type != "Shape" or shape_of.attribute or index is None:
            return None
        shape = self._shapes.get(shape_of.input[0])
        if shape is None or not (np.abs(index) < max(len(shape), 1)).all():
            return None
        sizes = [shape[int(i)] for i in index.ravel()]
        return None if None in sizes else np.array(sizes, np.int64).reshape(index.shape)


def body_of(node: onnx.NodeProto, condition: bool) -> onnx.GraphProto | None:
    """The branch that an If takes, if it can be put in its place."""
    wanted = "then_branch" if condition else "else_branch"
    bodies = [a.g for a in node.attribute if a.name == wanted]
    fits = len(bodies) == 1 and len(bodies[0].output) == len(node.output)
    return bodies[0] if fits and not bodies[0].sparse_initializer else None


def take(graph: onnx.GraphProto, i: int, body: onnx.GraphProto) -> None:
    """Put a branch of an If in its place; what it stores becomes Constant nodes."""
    node = graph.node[i]
    taken = {name for other in graph.node for name in every_name(other)}
    taken.update(t.name for t in graph.initializer)
    taken.update(info.name for info in (*graph.input, *graph.output))
    stored = [
        helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in body.initializer
    ]
    inside = [*stored, *body.node]
    made = {name for inner in inside for name in inner.output if name}
    names: dict[str, str] = {}
    copied = []
    for info, outer in zip(body.output, node.output, strict=True):
        if info.name in made and info.name not in names and outer:
            names[info.name] = outer
        elif outer:
            copied.append((info.name, outer))
    for name in sorted(made - names.keys()):
        # Other bodies may use the same name, and here each means one value only.
        fresh, number = f"{node.output[0]}_{name}", 1
        while fresh in taken:
            number += 1
            fresh = f"{node.output[0]}_{name}_{number}"
        taken.add(fresh)
        names[name] = fresh
    new = []
    for inner in inside:
        copy = onnx.NodeProto()
        copy.CopyFrom(inner)
        rename(copy, names)
        new.append(copy)
    new += [helper.make_node("Identity", [names.get(a, a)], [b]) for a, b in copied]
    rest = [onnx.NodeProto.FromString(n.SerializeToString()) for n in graph.node[i + 1 :]]
    del graph.node[i:]
    graph.node.extend([*new, *rest])


def operators(nodes: Iterable[onnx.NodeProto]) -> Iterator[str]:
    """Types of operators, in bodies too."""
    for node in nodes:
        yield node.op_type
        for attribute in node.attribute:
            for body in subgraphs(attribute):
                yield from operators(body.node)


def every_name(node: onnx.NodeProto) -> Iterator[str]:
    """All that a node and its bodies read or make."""
    yield from (*node.input, *node.output)
    for attribute in node.attribute:
        for body in subgraphs(attribute):
            for inner in body.node:
                yield from every_name(inner)
            yield from (t.name for t in body.initializer)
            yield from (info.name for info in (*body.input, *body.output))


def rename(node: onnx.NodeProto, names: dict[str, str]) -> None:
    """Give values other names, also where bodies read them (which make none of these names)."""
    for field in (node.input, node.output):
        for at, name in enumerate(field):
            field[at] = names.get(name, name)
    for attribute in node.attribute:
        for body in subgraphs(attribute):
            own = {i.name for i in body.input} | {t.name for t in body.initializer}
            own.update(name for inner in body.node for name in inner.output)
            outer = {a: b for a, b in names.items() if a not in own}
            for inner in body.node:
                rename(inner, outer)
            for info in body.output:
                info.name = outer.get(info.name, info.name)
