"""The standard graph: operator, data and parameter nodes in ONNX operator vocabulary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from spa_kernel.graph.sizes import Expr, SizeUse

Kind = Literal["input", "parameter", "buffer", "attribute", "constant", "activation", "virtual"]


@dataclass(eq=False, slots=True)
class Value:
    """A tensor of the graph.

    Parameters
    ----------
    name : str
        For parameters and buffers the name in ``state_dict()`` or the ONNX graph.
    shape : tuple of int
        Shape as seen with the example input.
    kind : str
        ``"input"``; ``"parameter"`` and ``"buffer"`` (stored tensors, whose axes can lose
        indices); ``"attribute"`` (stored too, though not in ``state_dict()``: a tensor that a
        module holds as a plain attribute); ``"constant"`` (made by the program itself);
        ``"activation"``;
        ``"virtual"`` (an axis that no tensor has, such as the groups of a convolution:
        its one axis keeps as many indices as the attribute is worth after pruning).
    dtype : str
        numpy-style name, such as ``"float32"``.
    data : numpy.ndarray or None
        The content where it is known without running the network (index tables).
    """

    name: str
    shape: tuple[int, ...]
    kind: Kind = "activation"
    dtype: str = "float32"
    data: np.ndarray | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def stored(self) -> bool:
        """Whether the model owns this tensor, so that its axes can be cut."""
        return self.kind in ("parameter", "buffer", "attribute")

    def __repr__(self) -> str:
        return f"<{self.kind} {self.name} {list(self.shape)}>"


Axis = tuple[Value, int]
"""One axis of one tensor."""


@dataclass(eq=False, slots=True)
class Node:
    """An operator.

    ``op`` is an ONNX operator name, or ``"aten.…"`` for one that nobody has described.
    ``attrs`` follow the ONNX operator, with axes counted from the front.
    ``name`` is where it stands in the model (module path, or ONNX node name) and ``source``
    the line of the model's code, where known.
    """

    op: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value, ...]
    attrs: dict[str, Any] = field(default_factory=dict)
    name: str = ""
    source: str = ""

    @property
    def where(self) -> str:
        """A person's description of the place: operator, module, source line."""
        place = f"{self.op} in {self.name}" if self.name else self.op
        return f"{place} ({self.source})" if self.source else place

    def __repr__(self) -> str:
        return f"<{self.where}: {self.inputs} -> {self.outputs}>"


@dataclass(eq=False)
class Graph:
    """Operators in the order of execution, and the tensors at the borders."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    stored: dict[str, Value] = field(default_factory=dict)
    """Parameters and buffers by name, in the model's order."""
    sizes: list[SizeUse] = field(default_factory=list)
    """Sizes that the program works out itself; empty where every size can be rewritten (ONNX)."""
    folds: bool = False
    """Whether factors that a prune brings about are folded into weights."""

    @property
    def parameters(self) -> list[Value]:
        return [v for v in self.stored.values() if v.kind == "parameter"]

    equals: list[tuple[Expr, Expr]] = field(default_factory=list)
    """Sizes that the program compared and found equal (checks, mostly)."""
    evaluated: int | None = None
    """How many of the nodes are run in evaluation mode, where others follow that are not."""
    memory: dict[Value, Value | None] | None = None
    """Values without memory of their own, where the front end knows them: the value in whose
    memory they lie (views, writes in place), or ``None`` for what only stands between the nodes
    of one call."""
    factors: dict[Value, np.ndarray] = field(default_factory=dict)
    """By what values are larger than before the last prune, as weights took up a factor; float64,
    each broadcasts to the value's shape."""
    notes: list[str] = field(default_factory=list)
    """What a person should know of how the graph was found, in whole sentences."""
