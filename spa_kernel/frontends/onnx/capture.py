"""From an ONNX model to the standard graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import onnx

from spa_kernel.errors import CaptureError, SpaError
from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.folding import fold, folded_inputs, from_tables
from spa_kernel.frontends.onnx.inputs import Given, has_dynamic_axes, input_infos, input_shapes
from spa_kernel.frontends.onnx.places import place
from spa_kernel.frontends.onnx.quantised import quantised_weights
from spa_kernel.frontends.onnx.rewrites import Rewrite, Want
from spa_kernel.frontends.onnx.run import random_inputs, shapes_by_running
from spa_kernel.frontends.onnx.soundness import check_size, check_sound
from spa_kernel.frontends.onnx.tensors import Tensors
from spa_kernel.frontends.onnx.written import inline
from spa_kernel.graph.ir import Graph, Kind, Node, Value
from spa_kernel.surgery.after import After

SMALL = 1024
"""Floating-point tensors of up to this many entries are looked into (scales, bounds)."""


@dataclass(eq=False)
class OnnxGraph(Graph):
    """A standard graph that knows which model it was read from."""

    captured: Captured | None = None


class Captured:
    """A model's graph, and how it hangs together with the nodes of the model.

    Parameters
    ----------
    model : onnx.ModelProto
    given : dict
        Arrays or shapes of inputs, by name.

    Attributes
    ----------
    model : onnx.ModelProto
        The very model, or a copy in which functions and settled branches are written out.
    graph : Graph
    values : dict
        Value by ONNX name. Several names may mean one value.
    known : dict
        Content of what can be worked out without running the network.
    from_sizes : set
        Names of known values that come from the size of a tensor.
    literal : set
        Names of known values that come from stored tables, and belong to the graph.
    steps : dict
        Name of a known value that nodes compute -> position of the node.
    rewrites : list of Rewrite
        All operands and attributes that fix a size.
    quantised : dict
        Stored whole numbers that stand for weights -> what they stand for.
    statistics : set of str
        Means and variances of BatchNorm layers, which are no weights.
    origin : dict
        Node of the standard graph -> position of the ONNX node.
    """

    def __init__(self, model: onnx.ModelProto, given: Given | None = None) -> None:
        check_sound(model)
        self.model = inline(model)
        self.given = given or {}
        self.tensors = Tensors(self.model)
        self.graph = OnnxGraph(captured=self)
        self.values: dict[str, Value] = {}
        self.known: dict[str, np.ndarray] = {}
        self.steps: dict[str, int] = {}
        self.rewrites: list[Rewrite] = []
        self.origin: dict[Node, int] = {}
        self.sequences: dict[str, list[Value]] = {}
        self.opsets = {
            "" if o.domain == "ai.onnx" else o.domain: o.version for o in self.model.opset_import
        }
        self.quantised = quantised_weights(self.model, self.tensors)
        self.statistics = {
            name
            for node in self.model.graph.node
            if node.op_type == "BatchNormalization"
            for name in node.input[3:5]
        }
        self.shapes = input_shapes(self.model, self.given)
        self.dynamic = has_dynamic_axes(self.model)
        self.signature: tuple[object, ...] = ()
        self.from_sizes: set[str] = set()
        self.literal: set[str] = set()
        self._elem: dict[str, int] = {}
        self._run: dict[str, tuple[int, tuple[int, ...]]] | None = None
        self._read()

    def _read(self) -> None:
        for info in input_infos(self.model):
            elem, shape = info.type.tensor_type.elem_type, self.shapes[info.name]
            check_size(info.name, shape)
            value = Value(info.name, shape, "input", infer.dtype_name(elem))
            self.values[info.name], self._elem[info.name] = value, elem
            self.graph.inputs.append(value)
        for i, node in enumerate(self.model.graph.node):
            if any(name in self.tensors.constants for name in node.output):
                continue
            try:
                self._node(i, node)
            except SpaError:
                raise
            except Exception as error:
                # An operand or attribute that is none of those that the operator takes.
                raise CaptureError(
                    f"{node.op_type} in {place(node)[0]} cannot be read: "
                    f"{str(error).strip() or type(error).__name__}"
                ) from error
        for info in self.model.graph.output:
            output = self.data(info.name) if info.name not in self.sequences else None
            outputs = self.sequences.get(info.name, [output])
            self.graph.outputs.extend(v for v in outputs if v is not None)
        stored = self.graph.stored
        self.graph.stored = {name: stored[name] for name in self.tensors if name in stored}

    def _node(self, i: int, node: onnx.NodeProto) -> None:
        from spa_kernel.frontends.onnx.convert import convert

        results = fold(self, node)
        if results is not None:
            size = node.op_type in ("Shape", "Size")
            literal = not size and from_tables(self, node)
            if size or not self.from_sizes.isdisjoint(folded_inputs(node)):
                self.from_sizes.update(node.output)
            for name, array in results.items():
                self.known[name] = array
                self.steps[name] = i
                if literal:
                    self.literal.add(name)
        else:
            convert(self, i, node)

    def content(self, name: str) -> np.ndarray | None:
        """The content of a value where it is known (not of weights)."""
        if name not in self.known and name in self.tensors:
            shape, elem = self.tensors.meta(name)
            integer = np.dtype(infer.dtype_name(elem)).kind in "iub"
            if integer or int(np.prod(shape)) <= SMALL:
                self.known[name] = self.tensors.array(name)
        return self.known.get(name)

    def meta(self, name: str) -> tuple[int, tuple[int, ...]]:
        """Element type and shape of a value, without making it a part of the graph."""
        if name in self.tensors:
            shape, elem = self.tensors.meta(name)
            return elem, shape
        if name in self.known:
            array = self.known[name]
            return onnx.helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
        if name in self.values:
            return self._elem[name], self.values[name].shape
        raise CaptureError(
            f"the model reads {name!r}, which is neither an input, nor a stored tensor, nor made "
            "by an earlier node: check it with onnx.checker.check_model"
        )

    def data(self, name: str) -> Value | None:
        """The value that a node computes with; brings folded nodes back where they matter."""
        if not name:
            return None
        if name not in self.values:
            if name in self.tensors:
                self.values[name] = self._stored(name)
            elif name in self.steps:
                self._unfold(name)
            else:
                self.meta(name)
        return self.values[name]

    def _stored(self, name: str) -> Value:
        shape, elem = self.tensors.meta(name)
        dtype = infer.dtype_name(elem)
        integer = np.dtype(dtype).kind in "iub"
        data = self.content(name) if integer or np.prod(shape) == 1 else None
        if np.prod(shape) == 1 and (name in self.tensors.constants or not shape):
            return Value(name, shape, "constant", dtype, data)
        weight = np.dtype(dtype).kind not in "iubO" or name in self.quantised
        kind: Kind = "parameter" if weight and name not in self.statistics else "buffer"
        value = Value(name, shape, kind, dtype, data)
        self.graph.stored[name] = value
        return value

    def _unfold(self, name: str) -> None:
        """A folded value: an operator if it comes from stored tensors alone, else a constant."""
        from spa_kernel.frontends.onnx.convert import convert

        content = self.known[name]
        i = self.steps[name]
        if name in self.literal and content.size != 1:
            convert(self, i, self.model.graph.node[i])
            for output in filter(None, self.model.graph.node[i].output):
                self.values[output].data = self.known[output]
        else:
            self.values[name] = Value(name, content.shape, "constant", str(content.dtype), content)

    def computed(self, name: str) -> bool:
        """Whether a value is worked out by nodes that the graph does not show."""
        if name not in self.steps or (name in self.literal and self.known[name].size != 1):
            return False
        value = self.values.get(name)
        return value is None or value.kind == "constant"

    def free(self, name: str) -> bool:
        """Whether a known value may be another one when the model runs on other sizes."""
        return self.dynamic and name in self.from_sizes

    def constant_operand(self, i: int, slot: int, node: onnx.NodeProto, value: Value) -> None:
        """See to it that a computed constant keeps its content, though sizes change."""
        content = self.known[node.input[slot]]

        def want(after: After) -> np.ndarray:
            return after.cut(value, content)

        self.rewrite(i, slot, want)

    def rewrite(self, i: int, slot: int | str, want: Want) -> None:
        """Register what an operand or attribute of a node must be after a prune."""
        node = self.model.graph.node[i]
        name = place(node)[0]
        self.rewrites.append(Rewrite(i, slot, want, f"{node.op_type} in {name}"))

    def infer(self, i: int) -> Mapping[str, tuple[int, tuple[int, ...]]]:
        """Element type and shape of each output of a node."""
        node = self.model.graph.node[i]
        names = [n for n in (*node.input, *infer.outer_names(node)) if n]
        names = [n for n in names if n not in self.sequences]
        types = {n: infer.tensor_type(*self.meta(n)) for n in names}
        contents = {n: c for n in names if (c := self.content(n)) is not None}
        found = infer.infer_shapes(node, types, contents, self.opsets, self.model.ir_version)
        if found is None:
            found = {n: self._declared(n) or self._shape_by_running(n) for n in node.output if n}
        for name, (_, shape) in found.items():
            check_size(name, shape)
        return found

    def _declared(self, name: str) -> tuple[int, tuple[int, ...]] | None:
        """What the model itself says about a value, where its sizes are fixed."""
        for info in self.model.graph.value_info:
            shape = infer.static_shape(info.type) if info.name == name else None
            if shape is not None and not self.dynamic:
                return info.type.tensor_type.elem_type, shape
        return None

    def _shape_by_running(self, name: str) -> tuple[int, tuple[int, ...]]:
        if self._run is None:
            names = [
                o
                for node in self.model.graph.node
                if "Sequence" not in node.op_type or node.op_type == "SequenceAt"
                for o in node.output
                if o and o not in self.values and o not in self.known and o not in self.tensors
            ]
            feeds = random_inputs(self.model, self.shapes, self.given)
            try:
                self._run = shapes_by_running(self.model, feeds, names)
            except Exception as error:
                raise CaptureError(
                    f"neither shape inference nor a run of the model tells the shape of {name!r} "
                    f"(if only some inputs are valid, pass such arrays as inputs): {error}"
                ) from error
        return self._run[name]

    def define(self, name: str, value: Value, elem: int) -> None:
        """Give a value the name of an ONNX output."""
        self.values[name], self._elem[name] = value, elem

    def emit(self, i: int, node: Node) -> None:
        """Add an operator that stands for the ONNX node at position i."""
        self.graph.nodes.append(node)
        self.origin[node] = i
