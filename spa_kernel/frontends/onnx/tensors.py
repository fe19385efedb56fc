"""Tensors that an ONNX model holds, under one name each.

These are initializers, Constant nodes, and ConstantOfShape nodes whose shape is stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx.soundness import LARGEST

FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE)


class Tensors:
    """Read access to the tensors of a model's main graph.

    Parameters
    ----------
    model : onnx.ModelProto
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        self.initializers = {t.name: i for i, t in enumerate(model.graph.initializer)}
        self.constants = {
            node.output[0]: i
            for i, node in enumerate(model.graph.node)
            if node.op_type == "Constant" and node.domain in ("", "ai.onnx")
        }
        self._model = model
        self._fills: dict[str, tuple[tuple[int, ...], int]] = {}
        self.constants.update(dict(self._filled(model)))

    def _filled(self, model: onnx.ModelProto) -> Iterator[tuple[str, int]]:
        """Weights of one number: of floating point, and of a shape that is stored."""
        for i, node in enumerate(model.graph.node):
            if node.op_type != "ConstantOfShape" or node.domain not in ("", "ai.onnx"):
                continue
            elem = node.attribute[0].t.data_type if node.attribute else onnx.TensorProto.FLOAT
            if elem not in FLOATS or node.input[0] not in self:
                continue
            shape = tuple(int(n) for n in self.array(node.input[0]).ravel())
            if shape and min(shape) > 0 and 1 < prod(shape) <= LARGEST:
                self._fills[node.output[0]] = shape, elem
                yield node.output[0], i

    def __contains__(self, name: str) -> bool:
        return name in self.initializers or name in self.constants

    def __iter__(self) -> Iterator[str]:
        yield from self.initializers
        yield from self.constants

    def array(self, name: str) -> np.ndarray:
        """The content, in the dtype that it has."""
        if name in self.initializers:
            tensor = self._model.graph.initializer[self.initializers[name]]
            return numpy_helper.to_array(tensor)
        node = self._model.graph.node[self.constants[name]]
        if name in self._fills:
            shape, elem = self._fills[name]
            value = numpy_helper.to_array(node.attribute[0].t) if node.attribute else np.zeros(1)
            return np.full(shape, value.item(), helper.tensor_dtype_to_np_dtype(elem))
        return constant_array(node)

    def meta(self, name: str) -> tuple[tuple[int, ...], int]:
        """Shape and ONNX element type, without reading the content of an initializer."""
        if name in self.initializers:
            tensor = self._model.graph.initializer[self.initializers[name]]
            return tuple(tensor.dims), tensor.data_type
        if name in self._fills:
            return self._fills[name]
        array = self.array(name)
        return array.shape, helper.np_dtype_to_tensor_dtype(array.dtype)


def constant_array(node: onnx.NodeProto) -> np.ndarray:
    """The content of a Constant node, in whichever attribute it is written."""
    (attribute,) = node.attribute
    value = helper.get_attribute_value(attribute)
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if attribute.name in ("value_int", "value_ints"):
        return np.array(value, dtype=np.int64)
    if attribute.name in ("value_float", "value_floats"):
        return np.array(value, dtype=np.float32)
    if attribute.name in ("value_string", "value_strings"):
        return np.array(value, dtype=object)
    raise CaptureError(
        f"the constant {node.output[0]!r} is sparse: store it as a dense tensor instead"
    )


def constant_node(node: onnx.NodeProto, array: np.ndarray) -> onnx.NodeProto:
    """A copy of a Constant node with other content, or such a one for a ConstantOfShape."""
    new = onnx.NodeProto()
    new.CopyFrom(node)
    name = node.attribute[0].name if node.attribute else "value"
    del new.attribute[:], new.input[:]
    new.op_type = "Constant"
    if name == "value_ints" and array.ndim == 1:
        new.attribute.append(helper.make_attribute(name, [int(v) for v in array]))
    elif name == "value_floats" and array.ndim == 1:
        new.attribute.append(helper.make_attribute(name, [float(v) for v in array]))
    else:
        new.attribute.append(helper.make_attribute("value", numpy_helper.from_array(array)))
    return new
