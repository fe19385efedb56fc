"""Tensors that share memory: what is written through one of them is read through the others."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from spa_kernel.graph.ir import Node, Value


@dataclass(eq=False, slots=True)
class View:
    """One tensor made from another one without copying; the call is kept to be made again."""

    parent: torch.Tensor
    func: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    index: int
    """Which of the call's outputs it is."""
    outputs: list[torch.Tensor]


class Views:
    """The views taken in one recording."""

    def __init__(self) -> None:
        self._of: dict[int, View] = {}
        self._family: dict[int, set[int]] = {}
        self.stale: set[int] = set()
        """Tensors that were written to through another one since their value was noted."""

    def add(self, results: Any, parent: torch.Tensor, func: Any, args: Any, kwargs: Any) -> None:
        """Note the outputs of a call that returns views of ``parent``."""
        outputs = list(results) if isinstance(results, tuple | list) else [results]
        family = self._family.setdefault(id(self.root(parent)), set())
        for index, tensor in enumerate(outputs):
            if tensor is not parent:
                self._of[id(tensor)] = View(parent, func, args, kwargs, index, outputs)
                family.add(id(tensor))

    def get(self, tensor: torch.Tensor) -> View | None:
        return self._of.get(id(tensor))

    def chain(self, tensor: torch.Tensor) -> Iterator[View]:
        """From a view to what it was made from, and so on."""
        view = self._of.get(id(tensor))
        while view is not None:
            yield view
            view = self._of.get(id(view.parent))

    def root(self, tensor: torch.Tensor) -> torch.Tensor:
        """What a view was made from in the end; the tensor itself where it is no view."""
        for view in self.chain(tensor):
            tensor = view.parent
        return tensor

    def spoil(self, tensor: torch.Tensor) -> None:
        """All others of the family have to be made again, after this one was written to."""
        current = {id(tensor), *(id(view.parent) for view in self.chain(tensor))}
        self.stale -= current
        self.stale |= self._family.get(id(self.root(tensor)), set()) - current


def written(nodes: list[Node], before: Value, old: Value, new: Value) -> list[Node] | None:
    """Nodes that put new content back to where a view took it from.

    Parameters
    ----------
    nodes : list of Node
        What the view does, from ``before`` to ``old``.
    before : Value
        The tensor that the view was taken of, as it is now.
    old, new : Value
        The view's content before and after it was written to.

    Returns
    -------
    list of Node or None
        The last one makes the new content of the viewed tensor; ``None`` where the way back is
        not known.
    """
    made = {out: node for node in nodes for out in node.outputs}
    back: list[Node] = []
    while old is not before:
        if old not in made:
            return None
        node = made[old]
        source = node.inputs[0]
        assert source is not None
        result = Value(f"{source.name}_written", source.shape, "activation", source.dtype)
        if node.op in ("Reshape", "Identity"):
            attrs: dict[str, Any] = {}
        elif node.op == "Transpose":
            attrs = {"perm": np.argsort(node.attrs["perm"]).tolist()}
        elif node.op == "Slice" and source is before:
            attrs = {"index": node.attrs["index"]}
        elif node.op == "Split" and source is before:
            axis = node.attrs["axis"]
            start = sum(o.shape[axis] for o in node.outputs[: node.outputs.index(old)])
            attrs = {"index": {axis: np.arange(start, start + old.shape[axis])}}
        else:
            return None
        if "index" in attrs:
            back.append(
                Node("SliceScatter", (before, new), (result,), attrs, node.name, node.source)
            )
        else:
            back.append(Node(node.op, (new,), (result,), attrs, node.name, node.source))
        old, new = source, result
    return back
