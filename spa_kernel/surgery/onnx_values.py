"""What the nodes that compute sizes and constants will compute in the pruned ONNX model."""

from __future__ import annotations

import numpy as np
import onnx

from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.folding import folded_inputs, shape_of
from spa_kernel.surgery.after import After


class Recomputed:
    """Contents and shapes after a prune.

    Parameters
    ----------
    captured : Captured
    after : After
    cut : dict
        New content of the stored tensors that change.
    """

    def __init__(self, captured: Captured, after: After, cut: dict[str, np.ndarray]) -> None:
        self._captured = captured
        self._after = after
        self._cut = cut
        self._new: dict[str, np.ndarray | None] = {name: cut[name] for name in cut}
        nodes = captured.model.graph.node
        for position in sorted(set(captured.steps.values())):
            self._step(nodes[position])

    def _step(self, node: onnx.NodeProto) -> None:
        """Compute a node again if something that it depends on has changed."""
        captured, operands = self._captured, folded_inputs(node)
        if node.op_type in ("Shape", "Size"):
            shape = self.shape(operands[0])
            array = None if shape is None else shape_of(node, shape)
            if array is None or not np.array_equal(array, captured.known[node.output[0]]):
                self._new[node.output[0]] = array
            return
        if self._new.keys().isdisjoint(operands):
            return
        feeds = {operand: self.content(operand) for operand in operands}
        known = {operand: array for operand, array in feeds.items() if array is not None}
        results: dict[str, np.ndarray] = {}
        if len(known) == len(feeds):
            if node.op_type == "CastLike":
                known[node.input[1]] = np.zeros((), captured.known[node.output[0]].dtype)
            results = infer.evaluate(node, known, captured.opsets) or {}
        for output in filter(None, node.output):
            self._new[output] = results.get(output)

    def content(self, name: str) -> np.ndarray | None:
        """What the value will be; ``None`` if that cannot be told without running the model."""
        if name in self._new:
            return self._new[name]
        return self._captured.content(name)

    def shape(self, name: str) -> tuple[int, ...] | None:
        """The shape that a value will have."""
        captured = self._captured
        if name in self._cut:
            return self._cut[name].shape
        if name in captured.tensors:
            return captured.tensors.meta(name)[0]
        if captured.computed(name):
            content = self.content(name)
            return None if content is None else content.shape
        if name in captured.values:
            return self._after.shape(captured.values[name])
        return None
