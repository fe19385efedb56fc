"""ONNX graphs that are written operator by operator, and the parts that they are made of."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

SIDE, LENGTH = 6, 5
Shape = tuple[int, ...]
Part = Callable[["Maker", str], "str | None"]
IMAGES: dict[str, Part] = {}
TOKENS: dict[str, Part] = {}


def part(*forms: dict[str, Part]) -> Callable[[Part], Part]:
    """Register what can be done with images (N, C, H, W) or tokens (N, T, D)."""

    def register(function: Part) -> Part:
        for form in forms:
            form[function.__name__] = function
        return function

    return register


@dataclass
class Maker:
    """A graph that is being written; each value's shape for a batch of 2 is known."""

    draw: random.Random
    opset: int
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    stored: dict[str, np.ndarray] = field(default_factory=dict)
    shapes: dict[str, Shape] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)
    tokens: list[str] = field(default_factory=list)
    asked: int = 0

    def add(self, op: str, inputs: list[str], shape: Shape, count: int = 1, **attrs: Any) -> str:
        """An operator; the name of its first output."""
        number = len(self.nodes)
        names = [f"v{number}"] + [f"v{number}_{i}" for i in range(1, count)]
        self.nodes.append(helper.make_node(op, inputs, names, name=f"n{number}", **attrs))
        for name in names:
            self.shapes[name] = shape
        return names[0]

    def weight(self, *shape: int) -> str:
        rng = np.random.default_rng(self.draw.randrange(2**32))
        scale = np.sqrt(max(np.prod(shape[1:]), 1))
        array = rng.standard_normal(shape) / scale
        if len(shape) == 1:
            array = rng.uniform(0.5, 1.5, shape) * rng.choice([-1, 1], shape)
        return self.constant(array.astype(np.float32))

    def positive(self, n: int) -> str:
        rng = np.random.default_rng(self.draw.randrange(2**32))
        return self.constant(rng.uniform(0.5, 1.5, n).astype(np.float32))

    def constant(self, content: Any) -> str:
        array = np.asarray(content)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        name = f"w{len(self.stored) + len(self.nodes)}"
        if self.draw.random() < 0.15:
            value = numpy_helper.from_array(array)
            self.nodes.append(helper.make_node("Constant", [], [name], value=value))
        else:
            self.stored[name] = array
        return name

    def axes(self, op: str, x: str, shape: Shape, axes: list[int], since: int, **attrs: Any) -> str:
        """An operator whose axes were an attribute before an operator set."""
        if self.opset < since:
            return self.add(op, [x], shape, axes=axes, **attrs)
        return self.add(op, [x, self.constant(np.array(axes, np.int64))], shape, **attrs)

    def reshape(self, x: str, *shape: int) -> str:
        """To fixed sizes, or with sizes that the model works out."""
        old, way = self.shapes[x], self.draw.randrange(5)
        out = tuple(n for n in shape)
        if way == 0:
            entries = [-1 if i == len(shape) - 1 else n for i, n in enumerate(shape)]
            return self.add("Reshape", [x, self.constant(np.array(entries, np.int64))], out)
        if way == 1 and old[0] == shape[0]:
            s = self.add("Shape", [x], (len(old),))
            n = self.add("Gather", [s, self.constant(np.array([0]))], (1,))
            rest = self.constant(np.array(shape[1:], np.int64))
            to = self.add("Concat", [n, rest], (len(shape),), axis=0)
            return self.add("Reshape", [x, to], out)
        if way == 3 and old[0] == shape[0]:
            # As torch.jit exports it.
            s = self.add("Shape", [x], (len(old),))
            n = self.add("Gather", [s, self.constant(np.array(0))], ())
            n = self.axes("Unsqueeze", n, (1,), [0], 13)
            rest = self.constant(np.array(shape[1:], np.int64))
            to = self.add("Concat", [n, rest], (len(shape),), axis=0)
            return self.add("Reshape", [x, to], out)
        if way == 2 and old[0] == shape[0]:
            return self.add("Reshape", [x, self.constant(np.array([0, *shape[1:]]))], out)
        return self.add("Reshape", [x, self.constant(np.array(shape, np.int64))], out)
