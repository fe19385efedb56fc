"""Tensors that an ONNX model holds: initializers and Constant nodes, under one name each."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_kernel.errors import CaptureError


class Tensors:
    """Read access to the initializers and Constant nodes of a model's main graph.

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
        for tensor in model.graph.initializer:
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                raise CaptureError(
                    f"the weights of {tensor.name!r} lie in a file beside the model and were not "
                    "loaded: pass the path of the .onnx file, or load it with onnx.load(path)"
                )

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
        return constant_array(self._model.graph.node[self.constants[name]])

    def meta(self, name: str) -> tuple[tuple[int, ...], int]:
        """Shape and ONNX element type, without reading the content of an initializer."""
        if name in self.initializers:
            tensor = self._model.graph.initializer[self.initializers[name]]
            return tuple(tensor.dims), tensor.data_type
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
    """A copy of a Constant node with other content."""
    new = onnx.NodeProto()
    new.CopyFrom(node)
    name = node.attribute[0].name
    del new.attribute[:]
    if name == "value_ints" and array.ndim == 1:
        new.attribute.append(helper.make_attribute(name, [int(v) for v in array]))
    elif name == "value_floats" and array.ndim == 1:
        new.attribute.append(helper.make_attribute(name, [float(v) for v in array]))
    else:
        new.attribute.append(helper.make_attribute("value", numpy_helper.from_array(array)))
    return new
