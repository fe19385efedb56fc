"""Copies of a Keras model that are built anew from its layers' configs."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
from keras.src.models.functional import Functional
from keras.src.saving.serialization_lib import SerializableDict

from spa_kernel.errors import SpaError
from spa_kernel.frontends.keras.capture import calls, functional
from spa_kernel.frontends.keras.traced import Traced, stages


class Copy:
    """A functional copy of a model with layers of its own; Keras works out every size.

    Parameters
    ----------
    model : keras.Model
    edits : dict
        New entries of layers' configs, by the layer's `id`.
    dtype : str or None
        What the copy computes in; ``None``: what the model does.

    Attributes
    ----------
    model : keras.Model
    pairs : list of (layer, copy)
        All layers, those inside of models and other layers too.
    """

    def __init__(self, model: Any, edits: dict[int, dict[str, Any]], dtype: str | None) -> None:
        self.edits = edits
        self.dtype = dtype
        self.late: Any = None
        self._names: dict[int, str] = {}
        self._made: dict[int, tuple[Any, Any]] = {}
        with same_random():
            self.model = self._model(model, [tuple(t.shape) for t in functional(model)._inputs])
        self.pairs = [pair for a, b in self._made.values() for pair in with_parts(a, b)]

    @property
    def weights(self) -> list[Any]:
        """As `every_weight` of the model."""
        return every_weight(self.model, self.late)

    def of(self, layer: Any) -> Any:
        """The copy of a layer."""
        return self._made[id(layer)][1]

    def _model(self, model: Any, shapes: list[tuple[int | None, ...]]) -> Any:
        outer = functional(model)
        inputs = [
            keras.Input(batch_shape=shape, dtype=t.dtype, name=t.name)
            for t, shape in zip(outer._inputs, shapes, strict=True)
        ]
        for tensor, copy in zip(outer._inputs, inputs, strict=True):
            source = tensor._keras_history.operation
            self._made[id(source)] = source, copy._keras_history.operation
        struct = keras.tree.pack_sequence_as(outer._inputs_struct, inputs)
        if isinstance(outer, Traced):
            self._names.update(outer.short)
        results = outer._run_through_graph(struct, call_fn=self._call)
        made = Functional(struct, results, name=outer.name)
        for late in stages(outer)[1:]:
            results = late._run_through_graph(struct, call_fn=self._call)
            self.late = Functional(struct, results, name=late.name)
            self._made[id(late)] = late, self.late
        if isinstance(model, keras.Sequential):
            layers = [self.of(layer) for layer in model.layers]
            made = keras.Sequential([made._inputs[0], *layers], name=model.name)
        self._made[id(model)] = model, made
        return made

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        if id(layer) not in self._made:
            if functional(layer) is not None:
                given = keras.tree.flatten(args[0])
                copy = self._model(layer, [tuple(t.shape) for t in given])
            else:
                copy = self._own(layer)
            self._made[id(layer)] = layer, copy
        return self.of(layer)(*args, **kwargs)

    def _own(self, layer: Any) -> Any:
        if isinstance(layer, keras.layers.Lambda) or not isinstance(layer, keras.Layer):
            return self._twin(layer)
        config = {**layer.get_config(), **self.edits.get(id(layer), {})}
        if id(layer) in self._names:
            config["name"] = self._names[id(layer)]
        if self.dtype is not None and "dtype" in config:
            config["dtype"] = self.dtype
        try:
            return type(layer).from_config(config)
        except Exception as error:
            raise SpaError(
                f"{layer.name} ({type(layer).__name__}) cannot be built again from its config, so "
                f"the model cannot be pruned: give the layer get_config and from_config ({error})"
            ) from error

    def _twin(self, layer: Any) -> Any:
        """The same operation without the calls that it was in; code has no config."""
        twin = object.__new__(type(layer))
        twin.__dict__.update(layer.__dict__)
        name = self._names.get(id(layer), layer.name)
        twin.__dict__.update(_inbound_nodes=[], _outbound_nodes=[], name=name)
        edits = self.edits.get(id(layer), {})
        if edits and not isinstance(layer, keras.Layer):
            twin.__dict__.update(edits)
            # What is saved of an operation is what it was made with.
            twin.__dict__["_auto_config"] = SerializableDict(**written(layer) | edits)
        if self.dtype is not None and isinstance(layer, keras.Layer):
            twin.__dict__["_dtype_policy"] = keras.DTypePolicy(self.dtype)
        return twin

    def tensors(self) -> Iterator[tuple[Any, Any]]:
        """Symbolic tensors of the model's graphs and of the copy's.

        Raises
        ------
        SpaError
            The copy's graph has other calls.
        """
        for a, b in list(self._made.values()):
            if functional(a) is None:
                continue
            a, b = functional(a), functional(b)
            yield from zip(a._inputs, b._inputs, strict=True)
            for one, other in zip(calls(a), calls(b), strict=True):
                if self.of(one.operation) is not other.operation:
                    raise SpaError(f"{a.name} is built in another order than it was")
                yield from zip(one.outputs, other.outputs, strict=True)

    def fill(self, contents: list[np.ndarray]) -> None:
        """Give the copy its weights, in the order of the model's.

        Raises
        ------
        SpaError
            A weight has another shape.
        """
        for variable, content in zip(self.weights, contents, strict=True):
            if tuple(variable.shape) != content.shape:
                raise SpaError(
                    f"{variable.path} would be built with the shape {tuple(variable.shape)}, "
                    f"where {content.shape} is left"
                )
            variable.assign(content)
        for layer, copy in self.pairs:
            if isinstance(layer, keras.layers.Normalization):
                # It computes with what it once made of its weights.
                copy.mean, copy.variance = layer.mean, layer.variance


def written(layer: Any) -> dict[str, Any]:
    """What a layer, or an operation, is made with."""
    if isinstance(layer, keras.Layer):
        return dict(layer.get_config())
    known = layer._auto_config
    return {} if known is None else dict(known.config)


def every_weight(*models: Any) -> list[Any]:
    """Weights of models that share layers, each once."""
    found = {id(v): v for model in models if model is not None for v in model.weights}
    return list(found.values())


def with_parts(layer: Any, copy: Any) -> Iterator[tuple[Any, Any]]:
    """A layer and the layers that it holds, with their copies."""
    yield layer, copy
    if functional(layer) is None:
        parts = getattr(layer, "_layers", []), getattr(copy, "_layers", [])
        for a, b in zip(*parts, strict=True):
            yield from with_parts(a, b)


@contextmanager
def same_random() -> Iterator[None]:
    """Layers draw seeds when they are made; afterwards the next numbers are as before."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)
