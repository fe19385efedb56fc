"""Writes an ONNX model node by node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from spa_kernel.errors import SpaError

OPSET = 20
"""Which operators are written; with LayerNormalization and Gelu as operators of their own."""
SINCE = {"GroupNormalization": 21, "RMSNormalization": 23}
"""Operators that need a later set; GroupNormalization had a weight per group before."""


class Writer:
    """Collects nodes and weights of one model.

    Parameters
    ----------
    name : str
        Of the graph.
    """

    def __init__(self, name: str) -> None:
        self.graph = onnx.GraphProto(name=name)
        self._names: set[str] = set()
        self._opset = OPSET

    def fresh(self, hint: str) -> str:
        """A name that nothing has yet."""
        hint, number = hint or "value", 0
        name = hint
        while name in self._names:
            number += 1
            name = f"{hint}_{number}"
        self._names.add(name)
        return name

    def input(self, name: str, array: np.ndarray, batch: str | None = None) -> str:
        """An input of the shape and type of an array; ``batch``: the name of a free first axis."""
        own = self.fresh(name)
        shape: list[Any] = list(array.shape)
        if batch is not None and shape:
            shape[0] = batch
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.graph.input.append(helper.make_tensor_value_info(own, kind, shape))
        return own

    def weight(self, name: str, array: np.ndarray) -> str:
        """A stored tensor, which keeps its name."""
        own = self.fresh(name)
        self.graph.initializer.append(numpy_helper.from_array(np.asarray(array, order="C"), own))
        return own

    def constant(self, array: Any, dtype: Any = None, hint: str = "constant") -> str:
        """A tensor that is no weight."""
        tensor = numpy_helper.from_array(np.array(array, dtype))
        (made,) = self.node("Constant", (), hint=hint, value=tensor)
        return made

    def node(
        self,
        op: str,
        inputs: Sequence[str | None],
        outputs: int = 1,
        hint: str = "",
        domain: str = "",
        **attrs: Any,
    ) -> list[str]:
        """Add an operator; the names of what it makes. Attributes of ``None`` are left out."""
        self._opset = max(self._opset, SINCE.get(op, OPSET))
        made = [self.fresh(hint or op) for _ in range(outputs)]
        given = [name or "" for name in inputs]
        while given and not given[-1]:
            given.pop()
        attrs = {key: value for key, value in attrs.items() if value is not None}
        place = f"{hint or op}/{len(self.graph.node)}"
        self.graph.node.append(helper.make_node(op, given, made, place, domain=domain, **attrs))
        return made

    def output(self, name: str, value: str, array: np.ndarray, batch: str | None = None) -> str:
        """Say that a value is an output, and its shape and type."""
        own = self.fresh(name)
        self.graph.node.append(helper.make_node("Identity", [value], [own], f"{own}/output"))
        shape: list[Any] = list(array.shape)
        if batch is not None and shape:
            shape[0] = batch
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.graph.output.append(helper.make_tensor_value_info(own, kind, shape))
        return own

    def model(self) -> onnx.ModelProto:
        """The model, checked.

        Raises
        ------
        SpaError
            It is not a valid ONNX model.
        """
        opset = helper.make_opsetid("", self._opset)
        made = helper.make_model(
            self.graph,
            opset_imports=[opset],
            producer_name="spa_kernel",
            ir_version=max(10, helper.find_min_ir_version_for([opset])),
        )
        try:
            onnx.checker.check_model(made, full_check=True)
        except Exception as error:
            raise SpaError(f"the model could not be written as ONNX: {error}") from error
        return made
