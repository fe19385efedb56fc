"""An ONNX model that runs piece by piece on many batches."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
import torch

from spa_kernel.errors import CaptureError, DataNeeded, InfeasibleTarget
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import Given
from spa_kernel.frontends.onnx.pieces import Cutter, Piece
from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.obspa.program import Program, State
from spa_kernel.products.ways import from_weights

Array = np.ndarray | torch.Tensor


@dataclass(slots=True)
class Reading:
    """The model as it works on batches of one size.

    Attributes
    ----------
    nodes : list of Node
    names : dict of Value to list of str
        What the model calls each value.
    made, makers : dict of Value to Node
        Who makes what is worked out from stored tensors alone, and who all else.
    """

    nodes: list[Node]
    names: dict[Value, list[str]]
    made: dict[Value, Node]
    makers: dict[Value, Node]

    @classmethod
    def of(cls, captured: Captured) -> Reading:
        """All of a model."""
        names: dict[Value, list[str]] = {}
        for name, value in captured.values.items():
            names.setdefault(value, []).append(name)
        nodes = captured.graph.nodes
        made = from_weights(nodes)
        makers = {v: node for node in nodes for v in node.outputs if v not in made}
        return cls(nodes, names, made, makers)


class OnnxProgram(Program):
    """An ONNX model, as it is now; live tensors go by their names there.

    Parameters
    ----------
    captured : Captured
        Its model must stay as it is as long as the program is in use, but for the content of
        weights.
    """

    def __init__(self, captured: Captured) -> None:
        self.captured = captured
        self.graph: Graph = captured.graph
        self.stored = {
            name: to_torch(captured.tensors.array(name))
            for name, value in captured.graph.stored.items()
            if value.kind == "parameter" or name in captured.statistics
        }
        self._positions = [captured.origin[node] for node in self.graph.nodes]
        self._cutter = Cutter(captured, self.stored)
        self._pieces: dict[tuple[int, int], Piece] = {}
        self._readings: dict[Any, Reading] = {}

    def begin(self, inputs: Mapping[str, Array], like: State | None = None) -> State:
        shapes: Given = {name: tuple(array.shape) for name, array in inputs.items()}
        key = tuple(sorted(shapes.items()))
        if key not in self._readings:
            self._readings[key] = self._read(shapes)
        live = {name: to_torch(array) for name, array in inputs.items()}
        return State(self._readings[key], live)

    def _read(self, shapes: Given) -> Reading:
        try:
            captured = Captured(self.captured.model, shapes)
        except CaptureError as error:
            raise DataNeeded(
                f"the model cannot be read for a batch of shape {shapes}: {error}. Give batches of "
                "inputs, or (inputs, targets), that the model accepts"
            ) from error
        if [n.op for n in captured.graph.nodes] != [n.op for n in self.graph.nodes]:
            raise DataNeeded(
                f"the model does something else on a batch of shape {shapes} than on the example "
                "input: analyse the model with inputs like the batches"
            )
        return Reading.of(captured)

    def run(self, state: State, node: int, *, through: bool) -> None:
        self._advance(state, self._positions[node] + through)

    def outputs(self, state: State) -> list[torch.Tensor]:
        self._advance(state, len(self._cutter.nodes))
        names = [info.name for info in self.captured.model.graph.output]
        return [state.live[name] for name in names if name in state.live]

    def _advance(self, state: State, stop: int) -> None:
        if stop <= state.next:
            return
        key = state.next, stop
        if key not in self._pieces:
            self._pieces[key] = self._cutter.cut(*key)
        piece = self._pieces[key]
        feeds = {
            name: to_numpy(self.stored[name] if name in self.stored else state.live[name])
            for name in piece.reads
        }
        made: dict[str, np.ndarray] = {}
        if piece.makes:
            try:
                made = piece.run(feeds, self.captured.model)
            except Exception as error:
                raise DataNeeded(
                    f"the model does not run on a batch of the data: {error}. Give batches of "
                    "inputs, or (inputs, targets), that the model accepts"
                ) from error
        last = self._cutter.last
        state.live = {name: t for name, t in state.live.items() if last.get(name, -1) >= stop}
        state.live |= {name: to_torch(array) for name, array in made.items()}
        state.next = stop

    def node(self, state: State, node: int) -> tuple[Node, dict[Value, Node]]:
        reading: Reading = state.tape
        return reading.nodes[node], reading.made

    def makers(self, state: State) -> dict[Value, Node]:
        reading: Reading = state.tape
        return reading.makers

    def operand(self, state: State, node: int, position: int) -> torch.Tensor | None:
        return self._tensor(state, state.tape.nodes[node].inputs[position])

    def result(self, state: State, node: int) -> torch.Tensor | None:
        return self._tensor(state, state.tape.nodes[node].outputs[0])

    def _tensor(self, state: State, value: Value | None) -> torch.Tensor | None:
        if value is None:
            return None
        if value.stored:
            return self.stored.get(value.name)
        names = state.tape.names.get(value, ())
        return next((state.live[name] for name in names if name in state.live), None)


def to_torch(array: Array) -> torch.Tensor:
    """A tensor of its own memory.

    Raises
    ------
    InfeasibleTarget
        Torch has no such numbers, or these are none.
    """
    if isinstance(array, torch.Tensor):
        return array
    if array.dtype == ml_dtypes.bfloat16:
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    try:
        return torch.tensor(array)
    except TypeError as error:
        raise InfeasibleTarget(
            f"a tensor of the model holds {array.dtype}, which cannot be calibrated on: choose a "
            "criterion that needs weights only"
        ) from error


def to_numpy(tensor: torch.Tensor) -> np.ndarray:
    """The same numbers in the same memory."""
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    array: np.ndarray = tensor.numpy()
    return array
