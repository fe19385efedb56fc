"""Walk a Keras model's graph of layers and write the standard graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import keras
import numpy as np
from keras.src.models.functional import Functional

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.keras.traced import Traced, stages
from spa_kernel.graph.ir import Graph, Kind, Node, Value
from spa_kernel.surgery.after import After

Edit = Callable[[After], dict[str, Any]]
"""New entries of a layer's config after a prune."""


@dataclass(eq=False)
class KerasGraph(Graph):
    """A graph that knows what it was read from."""

    captured: Captured | None = None


@dataclass(eq=False, slots=True)
class Held:
    """A tensor of the model: as Keras has it, with channels in front, or both.

    ``real`` is a symbolic tensor with the sizes that the example input gives.
    """

    real: Any
    plain: Value | None = None
    front: Value | None = None


class Captured:
    """The standard graph of a model, and what a prune must change in its layers' configs.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential, and built.
    feeds : list of numpy.ndarray
        Example inputs, in the order of ``model.inputs``.
    """

    def __init__(self, model: Any, feeds: Sequence[np.ndarray]) -> None:
        self.graph = KerasGraph(captured=self)
        self.outer = model
        self.edits: list[tuple[Any, Edit]] = []
        self.norms: list[tuple[Any, Value, int]] = []
        """Layers that normalise over one axis of what they make."""
        self.signature: tuple[object, ...] = ()
        self._names: Counter[str] = Counter()
        self._values: dict[int, Value] = {}
        for name, variable in named_weights(model).items():
            kind: Kind = "parameter" if variable.trainable else "buffer"
            value = Value(name, tuple(variable.shape), kind, variable.dtype)
            self._values[id(variable)] = value
        outer = functional(model)
        assert outer is not None
        given = [self._input(t, feed) for t, feed in zip(outer._inputs, feeds, strict=True)]
        if isinstance(outer, Traced) and outer.own:
            source, weights = outer.source, map(self.stored, outer.own.values())
            self.emit(f"keras.{type(source).__name__}", source.name, list(weights), ())
        outputs = walk(outer, given, self._operation)
        for late in stages(outer)[1:]:
            self.graph.evaluated = len(self.graph.nodes)
            outputs += walk(late, given, self._operation)
        self.graph.outputs = [self.plain(held, "output") for held in outputs]
        self.graph.stored = {value.name: value for value in self._values.values()}

    def _input(self, tensor: Any, feed: np.ndarray) -> Held:
        name = self.fresh(tensor._keras_history.operation.name)
        value = Value(name, feed.shape, "input", tensor.dtype)
        self.graph.inputs.append(value)
        return Held(keras.KerasTensor(feed.shape, tensor.dtype), value)

    def _operation(
        self, node: Any, name: str, inputs: list[Held], known: Mapping[int, Held]
    ) -> list[Held]:
        from spa_kernel.frontends.keras.call import Call
        from spa_kernel.frontends.keras.layers import convert

        call = Call(self, node.operation, name, node.arguments, inputs, reals(node, known))
        return convert(call)

    def fresh(self, stem: str) -> str:
        """A name that no value has yet."""
        self._names[stem] += 1
        return stem if self._names[stem] == 1 else f"{stem}:{self._names[stem]}"

    def stored(self, variable: Any) -> Value:
        """The value of a layer's variable."""
        return self._values[id(variable)]

    def emit(
        self,
        op: str,
        name: str,
        inputs: Sequence[Value | None],
        shape: Sequence[int],
        **attrs: Any,
    ) -> Value:
        """Add an operator with one output."""
        dtype = next((v.dtype for v in inputs if v is not None), "float32")
        out = Value(self.fresh(f"{name}.{op}"), tuple(int(n) for n in shape), dtype=dtype)
        self.graph.nodes.append(Node(op, tuple(inputs), (out,), attrs, name))
        return out

    def turn(self, value: Value, perm: Sequence[int], name: str) -> Value:
        """A value with its axes in another order."""
        if list(perm) == sorted(perm):
            return value
        shape = [value.shape[i] for i in perm]
        return self.emit("Transpose", name, [value], shape, perm=tuple(perm))

    def plain(self, held: Held, name: str) -> Value:
        """A tensor with its axes as Keras has them."""
        if held.plain is None:
            assert held.front is not None
            rank = held.front.ndim
            held.plain = self.turn(held.front, (0, *range(2, rank), 1), name)
        return held.plain

    def front(self, held: Held, name: str) -> Value:
        """A tensor whose last axis has become its second one."""
        if held.front is None:
            assert held.plain is not None
            rank = held.plain.ndim
            held.front = self.turn(held.plain, (0, rank - 1, *range(1, rank - 1)), name)
        return held.front


class Real(Protocol):
    """What stands for a tensor during a walk; ``real`` has its sizes."""

    real: Any


R = TypeVar("R", bound=Real)


def walk(
    outer: Any,
    given: Sequence[R],
    perform: Callable[[Any, str, list[R], Mapping[int, R]], list[R]],
    prefix: str = "",
) -> list[R]:
    """Go through the calls of a functional model; models among its layers are gone into.

    Parameters
    ----------
    outer : Functional
    given : sequence
        What stands for its inputs.
    perform : callable
        Takes a call, its place in the model, what stands for its inputs and for all tensors by
        identity; makes what stands for its outputs.
    prefix : str
        Of places.
    """
    known = {id(t): held for t, held in zip(outer._inputs, given, strict=True)}
    for node in calls(outer):
        if all(id(t) in known for t in node.input_tensors):
            inputs = [known[id(t)] for t in node.input_tensors]
            name = prefix + place(outer, node.operation)
            inner = functional(node.operation)
            if inner is not None and plain_call(node):
                results = walk(inner, inputs, perform, f"{name}.")
            else:
                results = perform(node, name, inputs, known)
            for tensor, held in zip(node.outputs, results, strict=True):
                known[id(tensor)] = held
    return [known[id(tensor)] for tensor in outer._outputs]


def place(outer: Any, operation: Any) -> str:
    """The name of an operation in a model."""
    known = outer.names if isinstance(outer, Traced) else {}
    return str(known.get(id(operation), operation.name))


def reals(node: Any, known: Mapping[int, Real]) -> list[Any]:
    """Symbolic outputs of a call, with the sizes that follow from those of its inputs."""
    args, kwargs = node.arguments.fill_in({i: held.real for i, held in known.items()})
    return list(keras.tree.flatten(node.operation.compute_output_spec(*args, **kwargs)))


def functional(model: Any) -> Any:
    """The graph of layers of a functional or Sequential model; ``None`` for anything else."""
    if isinstance(model, keras.Sequential):
        own = type(model).call is keras.Sequential.call
        return model._functional if own else None
    if isinstance(model, Functional) and type(model).call is Functional.call:
        return model
    return None


def calls(outer: Any) -> Iterator[Any]:
    """The calls of layers in a functional model, in the order of execution."""
    for depth in sorted(outer._nodes_by_depth, reverse=True):
        for node in outer._nodes_by_depth[depth]:
            if node.operation is not None and not node.is_input:
                yield node


def plain_call(node: Any) -> bool:
    """Whether a model is called with its inputs alone, in their order."""
    args, kwargs = node.arguments.args, node.arguments.kwargs
    inner, given = functional(node.operation), args[0] if len(args) == 1 else None
    ordered = given if isinstance(given, list | tuple) else [given]
    single = all(isinstance(t, keras.KerasTensor) for t in ordered)
    settled = all(map(unset, kwargs.values()))
    alike = not isinstance(inner._inputs_struct, dict) and len(ordered) == len(inner._inputs)
    return single and settled and alike


def unset(argument: Any) -> bool:
    """Whether an argument means nothing; a symbolic tensor cannot be asked for its truth."""
    return argument is None or argument is False


def named_weights(model: Any) -> dict[str, Any]:
    """A model's variables by name; the states of random generators are not among them."""
    found: dict[str, Any] = {}
    seen: set[int] = set()
    for stem, variable in _weights(model, ""):
        if id(variable) in seen:
            continue
        seen.add(id(variable))
        name, number = stem, 1
        while name in found:
            number += 1
            name = f"{stem}:{number}"
        found[name] = variable
    return found


def _weights(model: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for layer in [layer for stage in stages(model) for layer in stage.layers]:
        name = prefix + place(model, layer)
        if functional(layer) is not None:
            yield from _weights(layer, f"{name}.")
            continue
        for variable in layer.weights:
            parts = variable.path.split("/")
            at = parts.index(layer.name) + 1 if layer.name in parts else len(parts) - 1
            yield f"{name}.{'.'.join(parts[at:])}", variable
    if isinstance(model, Traced):
        yield from model.own.items()


def inference() -> Any:
    """Without gradients, where the framework below records them."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.no_grad()
    return nullcontext()


def readable(model: Any) -> None:
    """Say why a model cannot be read, where it cannot.

    Raises
    ------
    CaptureError
    """
    if keras.backend.backend() not in ("torch", "jax", "tensorflow"):
        raise CaptureError(
            f"Keras runs on {keras.backend.backend()} here: models can be pruned with "
            "KERAS_BACKEND=torch, jax or tensorflow, set before keras is imported. A model saved "
            "with model.save('net.keras') can be loaded there"
        )
    if isinstance(model, keras.Sequential) and not model.built:
        raise CaptureError(
            f"{model.name} is not built: begin it with keras.Input(shape=...), or call "
            "model.build((None, ...))"
        )
