"""What depends on no content of the inputs is worked out beforehand, or from their sizes."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.twin.registry import Known

SMALL = 4096
"""Bytes of operands up to which results are remembered."""


class Host:
    """Works out nodes whose operands are all known, on numpy.

    Parameters
    ----------
    opsets : dict of str to int
    """

    __slots__ = ("_found", "opsets")

    def __init__(self, opsets: dict[str, int]) -> None:
        self.opsets = opsets
        self._found: dict[tuple[object, ...], dict[str, Known] | None] = {}

    def evaluate(self, node: onnx.NodeProto, operands: list[Known | None]) -> list[Known] | None:
        """All outputs of a node; ``None`` where numpy knows no such operator."""
        feeds = {
            name: array
            for name, array in zip(node.input, operands, strict=True)
            if name and array is not None
        }
        key: tuple[object, ...] | None = None
        if sum(array.nbytes for array in feeds.values()) <= SMALL:
            content = ((n, a.shape, a.dtype.str, a.tobytes()) for n, a in feeds.items())
            key = (node.SerializeToString(deterministic=True), *content)
            if key in self._found:
                return in_order(node, self._found[key])
        found = infer.evaluate(node, feeds, self.opsets)
        if key is not None:
            self._found[key] = found
        return in_order(node, found)


def in_order(node: onnx.NodeProto, found: dict[str, Known] | None) -> list[Known] | None:
    if found is None:
        return None
    return [found.get(name, np.zeros(0)) for name in node.output]


def sizes(node: onnx.NodeProto, shape: torch.Size) -> Known:
    """What Shape or Size gives."""
    whole = np.array([int(n) for n in shape], np.int64)
    if node.op_type == "Size":
        return np.array(whole.prod(), np.int64)
    attributes = {a.name: a.i for a in node.attribute}
    return whole[attributes.get("start", 0) : attributes.get("end")]
