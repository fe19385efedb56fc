"""Stretches of an ONNX model that run on their own."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from spa_kernel.frontends.onnx import infer
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import input_infos
from spa_kernel.frontends.onnx.run import Runner

THREADS = 4
"""Most threads that each piece keeps, as there may be hundreds of pieces."""


@dataclass(slots=True)
class Piece:
    """Some nodes in a row.

    Attributes
    ----------
    reads, makes : list of str
        Tensors that are fed to it and that come out of it.
    graph : onnx.GraphProto
        Without its inputs.
    """

    reads: list[str]
    makes: list[str]
    graph: onnx.GraphProto
    runner: Runner | None = None

    def run(self, feeds: dict[str, np.ndarray], like: onnx.ModelProto) -> dict[str, np.ndarray]:
        """What the nodes make; the model that they are of says what operators mean."""
        if self.runner is None:
            model = onnx.ModelProto(ir_version=like.ir_version, opset_import=like.opset_import)
            model.graph.CopyFrom(self.graph)
            for name, array in feeds.items():
                elem = helper.np_dtype_to_tensor_dtype(array.dtype)
                model.graph.input.append(helper.make_tensor_value_info(name, elem, None))
            self.runner = Runner(model, min(THREADS, os.cpu_count() or 1))
        return dict(zip(self.makes, self.runner.run(feeds, self.makes), strict=True))


class Cutter:
    """Cuts a model into pieces.

    What depends on no input is worked out anew in each piece that reads it, as the tensors that it
    is made of may have changed meanwhile; and so are sequences, which cannot be handed over.

    Parameters
    ----------
    captured : Captured
    fed : iterable of str
        Stored tensors that are fed to the pieces instead of standing in them.

    Attributes
    ----------
    last : dict of str to int
        For each tensor that is handed over the last node that reads it; for outputs of the model
        the number of nodes.
    """

    def __init__(self, captured: Captured, fed: Iterable[str]) -> None:
        self.nodes = list(captured.model.graph.node)
        self.fed = set(fed)
        self.stored = {t.name: t for t in captured.model.graph.initializer}
        self._anew: dict[str, int] = {}
        varying = {info.name for info in input_infos(captured.model)}
        for i, node in enumerate(self.nodes):
            random = node.op_type in infer.RANDOM
            if not (random or varying.intersection(reads(node))):
                self._anew.update(dict.fromkeys(node.output, i))
                continue
            varying.update(node.output)
            if not captured.sequences.keys().isdisjoint(node.output):
                self._anew.update(dict.fromkeys(node.output, i))
        self.last: dict[str, int] = {}
        for i, node in enumerate(self.nodes):
            if not self._is_anew(i):
                self.last.update(dict.fromkeys(self._sources(reads(node))[1], i))
        outputs = [info.name for info in captured.model.graph.output]
        self.last.update(dict.fromkeys(outputs, len(self.nodes)))

    def cut(self, start: int, stop: int) -> Piece:
        """The nodes from a position on and before another."""
        own = [i for i in range(start, stop) if not self._is_anew(i)]
        every, _ = self._sources(name for i in own for name in reads(self.nodes[i]))
        made = {name for i in own for name in self.nodes[i].output}
        graph = onnx.GraphProto(name="piece")
        graph.node.extend(self.nodes[i] for i in sorted({*own, *every}))
        inside = {name for node in graph.node for name in node.output}
        outside = {name: None for node in graph.node for name in reads(node) if name not in inside}
        graph.initializer.extend(
            self.stored[n] for n in outside if n in self.stored and n not in self.fed
        )
        found = [n for n in outside if n not in self.stored or n in self.fed]
        makes = [name for name in made if self.last.get(name, -1) >= stop]
        graph.output.extend(onnx.ValueInfoProto(name=name) for name in makes)
        return Piece(found, makes, graph)

    def _is_anew(self, i: int) -> bool:
        return any(name in self._anew for name in self.nodes[i].output if name)

    def _sources(self, names: Iterable[str]) -> tuple[set[int], set[str]]:
        """Nodes that work values out anew, and the tensors that these are made of."""
        every, found, seen = set[int](), set[str](), set[str]()
        todo = list(names)
        while todo:
            name = todo.pop()
            if name in seen:
                continue
            seen.add(name)
            if name in self._anew and name not in self.fed:
                every.add(self._anew[name])
                todo.extend(reads(self.nodes[self._anew[name]]))
            else:
                found.add(name)
        return every, found


def reads(node: onnx.NodeProto) -> list[str]:
    """What a node reads, its subgraphs included."""
    return [name for name in (*node.input, *infer.outer_names(node)) if name]
