"""A subclassed model as the graph of layers that its `call` goes through."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.layers import layer as layers_of_keras
from keras.src.models.functional import Functional

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.examples import array_or_shape, is_shape
from spa_kernel.frontends.keras.capture import calls, functional
from spa_kernel.frontends.keras.layers import of_keras
from spa_kernel.frontends.keras.traced import Traced, flat, packed, parameters


def traced(model: Any, given: Sequence[Any], keys: list[str] | None) -> Traced:
    """Call a model on symbolic tensors and note what it calls; the model is left as it was.

    Parameters
    ----------
    model : keras.Model
    given : sequence of array or shape
    keys : list of str or None
        Names, where the inputs come in a dictionary.

    Raises
    ------
    CaptureError
    """
    closed: set[int] = set()
    while True:
        tracing = Tracing(model, closed)
        try:
            with tracing.on():
                return tracing.traced(given, keys)
        except CaptureError:
            raise
        except Exception as error:
            failed = tracing.failed
            if failed is None or failed is model:
                raise CaptureError(
                    f"{model.name}: its call cannot be followed on symbolic tensors ({error}). "
                    "It must be made of layers and keras.ops, without decisions about values"
                ) from error
            # Its code is not gone into, so that what goes in and out is frozen.
            closed.add(id(failed))


class Tracing:
    """One attempt to follow a model."""

    def __init__(self, model: Any, closed: set[int]) -> None:
        self.model = model
        self.closed = closed
        self.failed: Any = None
        self.entered: dict[int, Any] = {}

    def composite(self, layer: Any) -> bool:
        """Whether what a layer calls is noted, instead of the layer."""
        own = not of_keras(type(layer)) and functional(layer) is None
        return layer is self.model or (own and id(layer) not in self.closed)

    @contextmanager
    def on(self) -> Iterator[None]:
        """While it lasts, composite layers run their code on symbolic tensors."""
        node, symbolic = layers_of_keras.Node, keras.Layer.symbolic_call

        def noted(operation: Any, *args: Any, **kwargs: Any) -> Any:
            return None if self.composite(operation) else node(operation, *args, **kwargs)

        def entered(layer: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.composite(layer):
                return symbolic(layer, *args, **kwargs)
            self.entered[id(layer)] = layer
            try:
                return layer.call(*args, **kwargs)
            except Exception:
                self.failed = self.failed or layer
                raise

        layers = self.model._flatten_layers()
        before = [
            (kept, list(kept))
            for layer in layers
            for kept in (layer._inbound_nodes, layer._outbound_nodes, layer._losses)
        ]
        layers_of_keras.Node, keras.Layer.symbolic_call = noted, entered
        try:
            yield
        finally:
            layers_of_keras.Node, keras.Layer.symbolic_call = node, symbolic
            for kept, content in before:
                kept[:] = content

    def traced(self, given: Sequence[Any], keys: list[str] | None) -> Traced:
        names = keys or [f"input_{at}" if at else "input" for at in range(len(given))]
        inputs = [symbol(name, value) for name, value in zip(names, given, strict=True)]
        outputs = self._outputs(inputs, keys, False)
        short = {id(op): f"{at}_{op.name}" for at, op in enumerate(operations(outputs))}
        made = self._functional(Traced, inputs, outputs, short)
        late = None
        if any("training" in parameters(layer) for layer in self.entered.values()):
            outputs = self._outputs(inputs, keys, True)
            for op in operations(outputs):
                short.setdefault(id(op), f"{len(short)}_{op.name}")
            late = self._functional(Functional, inputs, outputs, short)
            for node in calls(late):
                # It is followed for what belongs together, and never run.
                if node.arguments.kwargs.get("training") is True:
                    node.arguments.kwargs["training"] = None
            late = None if story(late) == story(made) else late
        places = {id(layer): name for layer, name in placed(self.model, "")}
        own, names_of = {}, {}
        for part in (made, late):
            for op in part._operations if part is not None else ():
                names_of[id(op)] = places.get(id(op), op.name)
        inside = {
            id(variable)
            for part in (made, late)
            for variable in (part.weights if part is not None else ())
        }
        for layer, place in [(self.model, ""), *placed(self.model, "")]:
            for variable in (*layer._trainable_variables, *layer._non_trainable_variables):
                if id(variable) not in inside:
                    own[f"{place}.{variable.name}".lstrip(".")] = variable
        made.__dict__.update(
            source=self.model, names=names_of, short=short, own=own, late=late, keys=keys
        )
        return made

    def _outputs(self, inputs: list[Any], keys: list[str] | None, training: bool) -> list[Any]:
        args, kwargs = packed(self.model, inputs, keys)
        outputs = flat(self.model(*args, training=training, **kwargs))
        if not outputs or not all(isinstance(t, keras.KerasTensor) for t in outputs):
            raise CaptureError(
                f"{self.model.name} must return tensors that depend on its inputs, and nothing else"
            )
        return outputs

    @staticmethod
    def _functional(
        kind: type[Functional], inputs: list[Any], outputs: list[Any], short: Mapping[int, str]
    ) -> Any:
        found = operations(outputs)
        before = [(op, op.__dict__["name"]) for op in found]
        try:
            for op in found:
                op.__dict__["name"] = short[id(op)]
            return kind(list(inputs), list(outputs), name="traced")
        finally:
            for op, name in before:
                op.__dict__["name"] = name


def symbol(name: str, value: Any) -> Any:
    """A symbolic tensor like an array, or of a shape."""
    shape, dtype = value, keras.config.floatx()
    if isinstance(value, np.ndarray):
        shape = value.shape
        dtype = dtype if value.dtype.kind == "f" else str(value.dtype)
    return keras.Input(batch_shape=shape, dtype=dtype, name=name)


def given_by_person(model: Any, inputs: Any) -> tuple[list[Any], list[str] | None]:
    """Arrays or shapes, and their names where they come in a dictionary.

    Raises
    ------
    CaptureError
    """
    if inputs is None:
        raise CaptureError(
            f"{model.name} ({type(model).__name__}) is a subclassed model, which does not say what "
            "goes into it: pass an example, spa.analyze(model, x), or its shape"
        )
    if isinstance(inputs, Mapping):
        return [array_or_shape(str(k), v) for k, v in inputs.items()], [str(k) for k in inputs]
    several = isinstance(inputs, Sequence) and not is_shape(inputs)
    found = list(inputs) if several else [inputs]
    return [array_or_shape(f"{at}", value) for at, value in enumerate(found)], None


def operations(outputs: Sequence[Any]) -> list[Any]:
    """What symbolic tensors were made by, and what that was made from."""
    found: dict[int, Any] = {}
    seen: set[int] = set()
    pending = list(outputs)
    while pending:
        op, index, _ = pending.pop()._keras_history
        node = op._inbound_nodes[index]
        if id(node) not in seen:
            seen.add(id(node))
            found[id(op)] = op
            pending += node.input_tensors
    return list(found.values())


def placed(layer: Any, prefix: str) -> Iterator[tuple[Any, str]]:
    """All layers inside of a layer, with the attributes that lead to them; each once."""
    seen = {id(layer)}

    def inside(layer: Any, prefix: str) -> Iterator[tuple[Any, str]]:
        # On torch, layers are modules among a module's.
        attributes = {**vars(layer), **vars(layer).get("_modules", {})}
        named = [(k, v) for k, v in attributes.items() if not k.startswith("_")]
        for part, name in [*held(named), *((part, part.name) for part in layer._layers)]:
            if id(part) not in seen:
                seen.add(id(part))
                yield part, prefix + name
                yield from inside(part, f"{prefix}{name}.")

    yield from inside(layer, prefix)


def held(entries: Sequence[tuple[Any, Any]]) -> Iterator[tuple[Any, str]]:
    """Layers among values, and in lists and dictionaries among them."""
    for key, value in entries:
        if isinstance(value, keras.Layer):
            yield value, str(key)
        elif isinstance(value, list | tuple | dict):
            inner = value.items() if isinstance(value, dict) else enumerate(value)
            yield from ((part, f"{key}.{name}") for part, name in held(list(inner)))


def story(outer: Functional) -> list[Any]:
    """What is called on what, but for whether it is training; the same for the same calls."""
    numbers = {id(tensor): at for at, tensor in enumerate(outer._inputs)}
    told: list[Any] = []
    for node in calls(outer):
        op, kwargs = node.operation, dict(node.arguments.kwargs)
        kwargs.pop("training", None)
        about = id(op) if isinstance(op, keras.Layer) else (type(op), settings(op))
        given = keras.tree.flatten((node.arguments.args, kwargs))
        told.append((about, list(kwargs), [mentioned(value, numbers) for value in given]))
        for tensor in node.outputs:
            numbers[id(tensor)] = len(numbers)
    return [*told, [numbers[id(tensor)] for tensor in outer._outputs]]


def mentioned(value: Any, numbers: Mapping[int, int]) -> Any:
    if isinstance(value, keras.KerasTensor):
        return "tensor", numbers[id(value)]
    return value if isinstance(value, int | float | str | None) else id(value)


def settings(op: Any) -> str:
    plain = (int, float, str, bool, tuple, list, type(None))
    entries = ((k, v) for k, v in vars(op).items() if k != "name" and isinstance(v, plain))
    return repr(sorted((k, repr(v)) for k, v in entries if not k.startswith("_")))
