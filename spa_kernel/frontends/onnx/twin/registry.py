"""What each ONNX operator is in torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from spa_kernel.errors import UnsupportedOperator
from spa_kernel.frontends.onnx.twin.dtypes import to_tensor

Compute = Callable[..., Any]
Known = np.ndarray
"""A value that does not depend on what is in the inputs, only on their sizes."""


class Operator:
    """A torch function for an ONNX operator.

    Attributes
    ----------
    compute : callable
        ``compute(call, *operands)``; absent operands are ``None``.
    settings : tuple of int
        Operands that must be known: they come as numpy arrays.
    either : tuple of int
        Operands that come as numpy arrays where they are known; all others come as tensors.
    """

    __slots__ = ("compute", "either", "settings")

    def __init__(
        self, compute: Compute, settings: tuple[int, ...], either: tuple[int, ...]
    ) -> None:
        self.compute, self.settings, self.either = compute, settings, either


OPERATORS: dict[str, Operator] = {}


def operator(
    *names: str, settings: tuple[int, ...] = (), either: tuple[int, ...] = ()
) -> Callable[[Compute], Compute]:
    """Register the torch function for one or more ONNX operators."""

    def register(compute: Compute) -> Compute:
        for name in names:
            OPERATORS[name] = Operator(compute, settings, either)
        return compute

    return register


class Call:
    """One node, as the torch functions see it.

    Attributes
    ----------
    op : str
    opset : int
    attributes : dict
        Text comes as str.
    outputs : list of str
        Names of the results; ``""`` for those that nobody asks for.
    place : str
        A person's description of the node.
    single : torch.dtype
        What single precision is at present: the type that the weights of that precision have.
    device : torch.device
        Where the weights are.
    """

    __slots__ = ("attributes", "device", "op", "opset", "outputs", "place", "single")

    def __init__(
        self, op: str, opset: int, attributes: Mapping[str, Any], outputs: list[str], place: str
    ) -> None:
        self.op, self.opset, self.outputs, self.place = op, opset, outputs, place
        self.attributes = dict(attributes)
        self.single, self.device = torch.float32, torch.device("cpu")

    def attr(self, name: str, default: Any = None) -> Any:
        return self.attributes.get(name, default)

    def wants(self, output: int) -> bool:
        """Whether an optional result is asked for."""
        return output < len(self.outputs) and bool(self.outputs[output])

    def setting(self, name: str, operand: Known | None) -> list[int] | None:
        """Whole numbers that older operator sets keep in an attribute and newer in an operand."""
        if operand is not None:
            return [int(v) for v in np.atleast_1d(operand)]
        value = self.attr(name)
        return None if value is None else [int(v) for v in value]

    def tensor(self, array: Known) -> torch.Tensor:
        """A known value, to be computed with."""
        found = to_tensor(array)
        if found.dtype == torch.float32:
            found = found.to(self.single)
        return found if self.device.type == "cpu" else found.to(self.device)

    def refuse(self, why: str) -> UnsupportedOperator:
        return UnsupportedOperator(f"{self.op} in {self.place} has no like in torch here: {why}")
