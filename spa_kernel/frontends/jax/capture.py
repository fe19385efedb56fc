"""From a jaxpr to the standard graph."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import prod
from typing import Any
from zlib import crc32

import flax
import jax
import jax.extend.core
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

import spa_kernel
from spa_kernel.errors import CaptureError, SpaError
from spa_kernel.frontends.jax.inputs import Inputs
from spa_kernel.frontends.jax.marks import marked
from spa_kernel.frontends.jax.model import JaxModel, is_numeric
from spa_kernel.frontends.torch.content import Content
from spa_kernel.graph.ir import Graph, Node, Value

ROOM = 2**24
"""Entries up to which what the code makes by itself (tables, masks) is worked out."""

LIBRARIES = tuple(os.path.dirname(str(m.__file__)) + os.sep for m in (jax, flax, spa_kernel))

Operand = Value | np.ndarray
"""A tensor of the graph, or what is known without running the network."""


@dataclass(eq=False)
class JaxGraph(Graph):
    """A standard graph that knows from which reading it is."""

    captured: Captured | None = None


class Captured:
    """What was read from one model in one state.

    Parameters
    ----------
    model : JaxModel
    inputs : (tuple, dict)

    Attributes
    ----------
    graph : JaxGraph
    scalars : list of tuple
        Per node the numbers of its call, to be compared after a prune.
    results : list of tuple of int
        Shapes of the outputs.
    """

    def __init__(self, model: JaxModel, inputs: Inputs) -> None:
        self.graph = JaxGraph(folds=True, captured=self)
        self.scalars: list[tuple[Any, ...]] = []
        self._names: dict[Value, str] = {}
        self._source = ""
        args, kwargs = inputs
        arrays = model.arrays()
        stored = {name: Value(name, a.shape, kind_of(model, name), str(a.dtype))
                  for name, a in arrays.items() if is_numeric(a)}  # fmt: skip
        closed = trace(model, arrays, inputs)
        # The order of `jax.tree.leaves`: dictionaries are sorted.
        names = sorted(arrays)
        operands: list[Value] = [
            stored.get(n) or Value(n, arrays[n].shape, "constant", "key") for n in names
        ]
        for i, leaf in enumerate(jax.tree.leaves((args, kwargs))):
            value = Value(f"input {i}", np.shape(leaf), "input", str(np.asarray(leaf).dtype))
            self.graph.inputs.append(value)
            operands.append(value)
        self.graph.stored = stored
        outputs = self.read(closed, operands)
        self.graph.outputs = [v for v in outputs if isinstance(v, Value)]
        self.results = [tuple(v.shape) for v in outputs]

    def read(self, closed: ClosedJaxpr, operands: list[Operand] | list[Value]) -> list[Operand]:
        """Add the nodes of a jaxpr; what it returns."""
        env: dict[Any, Operand] = {}
        jaxpr = closed.jaxpr
        for var, content in zip(jaxpr.constvars, closed.consts, strict=True):
            env[var] = np.asarray(content) if is_numeric(content) else self.opaque(var)
        env.update(zip(jaxpr.invars, operands, strict=True))

        def operand(atom: Any) -> Operand:
            return np.asarray(atom.val) if isinstance(atom, Literal) else env[atom]

        for eqn in jaxpr.eqns:
            self._source = source(eqn) or self._source
            results = self._equation(eqn, [operand(atom) for atom in eqn.invars])
            env.update(zip(eqn.outvars, results, strict=True))
        return [operand(atom) for atom in jaxpr.outvars]

    def opaque(self, var: Any) -> Value:
        """A tensor that nothing is known of but its shape; it cannot lose anything."""
        return Value("made by the code", tuple(var.aval.shape), "constant", str(var.aval.dtype))

    def _equation(self, eqn: Any, operands: list[Operand]) -> list[Operand]:
        from spa_kernel.frontends.jax.calls import CALLS
        from spa_kernel.frontends.jax.convert import Call, convert

        known = [o for o in operands if isinstance(o, np.ndarray)]
        name = eqn.primitive.name
        if len(known) == len(operands) and name not in CALLS and not filled(eqn):
            made = [self.opaque(var) for var in eqn.outvars]
            if sum(prod(v.shape) for v in made) <= ROOM:
                results = evaluated(eqn, known)
                if results is not None:
                    return [*results]
        return convert(Call(self, eqn, operands))

    def emit(
        self, op: str, inputs: tuple[Value | None, ...], outputs: tuple[Value, ...],
        attrs: dict[str, Any], numbers: tuple[Any, ...],
    ) -> None:  # fmt: skip
        """Add a node, with the numbers that are to be compared after a prune."""
        place = ""
        for value in inputs:
            if value is not None and value.stored:
                place = value.name.rpartition(".")[0]
            elif value in self._names:
                place = place or self._names[value]
        if place and all(v is None or v.stored or v in self._names for v in inputs):
            # Made from weights alone: what uses it is in the same module.
            self._names.update(dict.fromkeys(outputs, place))
        self.graph.nodes.append(Node(op, inputs, outputs, attrs, place, self._source))
        self.scalars.append(numbers)


def kind_of(model: JaxModel, name: str) -> Any:
    return "parameter" if model.is_parameter(name) else "buffer"


def trace(model: JaxModel, arrays: dict[str, Any], inputs: Inputs) -> ClosedJaxpr:
    """The forward as a jaxpr; nothing is computed.

    Raises
    ------
    CaptureError
    """
    args, kwargs = inputs
    function = model.function()
    try:
        with marked():
            return jax.make_jaxpr(lambda a, x, k: function(a, x, k))(arrays, args, kwargs)
    except SpaError:
        raise
    except Exception as error:
        shapes = [np.shape(leaf) for leaf in jax.tree.leaves(inputs)]
        raise CaptureError(
            f"{model.title} cannot be traced with inputs of the shapes {shapes}: "
            f"{type(error).__name__}: {error}"
        ) from error


def filled(eqn: Any) -> bool:
    """Whether a number is spread over a shape, which may follow from sizes."""
    spread = eqn.primitive.name == "broadcast_in_dim" and not eqn.invars[0].aval.shape
    return spread and any(n != 1 for n in eqn.outvars[0].aval.shape)


def evaluated(eqn: Any, operands: list[Any]) -> list[np.ndarray] | None:
    """What an equation of known operands makes; ``None`` where that is not worked out."""
    if next(iter(jax.extend.core.jaxprs_in_params(eqn.params)), None) is not None:
        return None
    typed = [jax.numpy.asarray(o, a.aval.dtype) for o, a in zip(operands, eqn.invars, strict=True)]
    made = eqn.primitive.bind(*typed, **eqn.params)
    results = made if eqn.primitive.multiple_results else [made]
    return [np.asarray(r) for r in results] if all(map(is_numeric, results)) else None


def source(eqn: Any) -> str:
    """File and line of the code that an equation comes from, outside of libraries."""
    traceback = eqn.source_info.traceback
    for frame in traceback.frames if traceback is not None else ():
        if not frame.file_name.startswith(LIBRARIES):
            return f"{os.path.basename(frame.file_name)}:{frame.line_num}"
    return ""


def content(array: np.ndarray) -> Any:
    """A constant, to be compared: a plain number where it is one."""
    if array.ndim == 0:
        return array.item()
    entries = array.astype(np.float64)
    return Content(f"constant {crc32(np.ascontiguousarray(entries).tobytes())}", entries)
