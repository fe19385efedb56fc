"""Keras models behind the interface that a session works with."""

from __future__ import annotations

import io
import json
import time
import zlib
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import onnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, SpaError, StaleSession
from spa_kernel.frontends.backend import Change, Timed, Verification
from spa_kernel.frontends.keras.capture import (
    Captured,
    KerasGraph,
    calls,
    functional,
    inference,
    named_weights,
    readable,
)
from spa_kernel.frontends.keras.inputs import feeds, given_inputs
from spa_kernel.frontends.keras.subclassed import given_by_person, placed, traced
from spa_kernel.frontends.keras.traced import Traced
from spa_kernel.frontends.twinned import TwinnedBackend
from spa_kernel.graph.ir import Graph
from spa_kernel.surgery.after import After

if TYPE_CHECKING:
    pass


class KerasTimed(Timed):
    """A model that is run without gradients, as it comes."""

    def __init__(self, model: Any, inputs: list[np.ndarray]) -> None:
        self.model = model
        self.inputs = [keras.ops.convert_to_tensor(value) for value in inputs]

    def seconds(self) -> float:
        start = time.perf_counter()
        with inference():
            outputs = run(self.model, self.inputs)
        # A framework may only be done when the numbers are asked for.
        keras.ops.convert_to_numpy(outputs[0])
        return time.perf_counter() - start


def run(model: Any, inputs: list[Any]) -> list[Any]:
    """A model's outputs in inference, in a list."""
    struct = functional(model)._inputs_struct
    given = keras.tree.pack_sequence_as(struct, list(inputs))
    return list(keras.tree.flatten(model(given, training=False)))


def check_traced(outer: Traced, feeds: list[np.ndarray]) -> None:
    """What was noted of a subclassed model computes what the model does.

    Raises
    ------
    CaptureError
    """
    tensors = [keras.ops.convert_to_tensor(feed) for feed in feeds]
    with inference():
        given, noted = (
            [keras.ops.convert_to_numpy(value) for value in found]
            for found in (run(outer, tensors), outer.steps(tensors))
        )
    same = len(given) == len(noted)
    for a, b in zip(given, noted, strict=False):
        same = same and a.shape == b.shape and np.allclose(a, b, 1e-3, 1e-5, equal_nan=True)
    if not same:
        raise CaptureError(
            f"{outer.source.name} does not compute what the layers that it calls do: its call is "
            "not the same each time, or depends on values"
        )


class KerasBackend(TwinnedBackend):
    """A Keras model, which is edited in place.

    Parameters
    ----------
    model : keras.Model, str or Path
        A path is that of a ``.keras`` file, which is left alone.
    inputs : shape, array, sequence of these, or dict of these by input name, optional
        Needed where the model does not state its input shapes; an unknown batch is 1.
    """

    framework = "keras"

    def __init__(self, model: Any, inputs: Any = None) -> None:
        if isinstance(model, str | Path):
            model = loaded(model)
        readable(model)
        self.model = model
        self.outer: Any = model
        self._keys: list[str] | None = None
        if functional(model) is None:
            self._given, self._keys = given_by_person(model, inputs)
            self.outer = traced(model, self._given, self._keys)
        else:
            self._given = given_inputs(model, inputs)
        self._feeds = feeds(self.outer, self._given)
        self._signature = signature(self.outer)

    def capture(self) -> Graph:
        try:
            if isinstance(self.outer, Traced):
                self.outer = traced(self.model, self._feeds, self._keys)
                check_traced(self.outer, self._feeds)
            captured = Captured(self.outer, self._feeds)
        except SpaError:
            raise
        except Exception as error:
            raise CaptureError(f"{self.model.name} fails on the example input: {error}") from error
        self._settled()
        captured.signature = self._signature
        return captured.graph

    def array(self, name: str) -> np.ndarray:
        content = keras.ops.convert_to_numpy(named_weights(self.outer)[name])
        return content.astype(np.float64 if content.dtype == np.float64 else np.float32)

    def apply(
        self, coupling: Coupling, removed: np.ndarray, *, verify: bool = True, optimizer: Any = None
    ) -> tuple[Change, Verification]:
        from spa_kernel.surgery.keras import Surgeon

        self.check()
        graph = coupling.graph
        captured = graph.captured if isinstance(graph, KerasGraph) else None
        if captured is None or captured.signature != self._signature:
            raise StaleSession(
                "the plan was made for another state of this model: analyse the model again"
            )
        surgeon = Surgeon(captured.outer, captured, After(coupling, removed), self._feeds)
        change, verification = surgeon.operate(verify, self._settled)
        known = all(isinstance(value, np.ndarray) for value in self._given)
        how = verification.how.replace(
            "the inputs", f"{'the example' if known else 'random'} inputs"
        )
        return change, replace(verification, how=how)

    def follows(self, coupling: Coupling, removed: np.ndarray) -> SpaError | None:
        if not isinstance(self.outer, Traced):
            return None
        # What is written in a call is only known by running it.
        try:
            change, _ = self.apply(coupling, removed)
        except SpaError as error:
            return error
        change.undo()
        return None

    @property
    def given(self) -> Any:
        if self._keys is not None and isinstance(self.outer, Traced):
            return dict(zip(self._keys, self._given, strict=True))
        return self._given

    def writes(self) -> Hashable:
        values = [v._value for v in named_weights(self.outer).values()]
        if keras.backend.backend() == "tensorflow":
            # It does not tell when its variables are written to.
            return tuple(zlib.crc32(value.numpy().tobytes()) for value in values)
        return tuple((id(value), getattr(value, "_version", 0)) for value in values)

    def timed(
        self, coupling: Coupling | None = None, removed: np.ndarray | None = None
    ) -> KerasTimed:
        from spa_kernel.surgery.keras import Surgeon

        self.check()
        if coupling is None or removed is None:
            coupling = Coupling(Graph(), {}, 0, np.zeros(0, dtype=bool), {})
            removed = coupling.frozen
        captured = coupling.graph.captured if isinstance(coupling.graph, KerasGraph) else None
        outer = captured.outer if captured is not None else self.outer
        surgeon = Surgeon(outer, captured, After(coupling, removed), self._feeds)
        return KerasTimed(surgeon.pruned(None), self._feeds)

    def check(self) -> None:
        if signature(self.outer) != self._signature:
            raise StaleSession(
                "layers or weight shapes of the model were changed from outside: analyse it again"
            )

    def snapshot(self) -> bytes:
        arrays = {
            name: keras.ops.convert_to_numpy(v) for name, v in named_weights(self.outer).items()
        }
        about = {name: [str(a.dtype), list(a.shape)] for name, a in arrays.items()}
        content = io.BytesIO()
        parts: dict[str, Any] = {
            f"{at}": np.frombuffer(array.tobytes(), np.uint8)
            for at, array in enumerate(arrays.values())
        }
        parts["about"] = np.array(json.dumps(about))
        np.savez(content, allow_pickle=False, **parts)
        return content.getvalue()

    def restore(self, content: bytes) -> None:
        present, contents = named_weights(self.outer), {}
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            about = json.loads(str(saved["about"]))
            shapes = {name: shape for name, (_, shape) in about.items()}
            if shapes != {name: list(v.shape) for name, v in present.items()}:
                raise SpaError(
                    "the saved model has other weights than this one, or names for them: load "
                    "into the model that was analysed first, before any prune. Layers without a "
                    "name of their own are numbered from 0 after keras.utils.clear_session()"
                )
            for at, (name, (dtype, shape)) in enumerate(about.items()):
                kind = keras.ops.convert_to_numpy(present[name]).dtype
                if str(kind) != dtype:
                    raise SpaError(f"{name} is saved as {dtype}, where the model has {kind}")
                contents[name] = np.frombuffer(saved[f"{at}"], kind).reshape(shape)
        for name, array in contents.items():
            present[name].assign(array)
        for layer in self.model._flatten_layers():
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()

    def example(self) -> bytes:
        content = io.BytesIO()
        names = [str(at) for at in range(len(self._feeds))]
        if self._keys is not None:
            names = [f"={key}" for key in self._keys]
        parts: dict[str, Any] = dict(zip(names, self._feeds, strict=True))
        np.savez(content, allow_pickle=False, **parts)
        return content.getvalue()

    @staticmethod
    def open_example(content: bytes) -> Any:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            if any(name.startswith("=") for name in saved.files):
                return {name[1:]: saved[name] for name in saved.files}
            return [saved[str(at)] for at in range(len(saved.files))]

    def as_onnx(self) -> onnx.ModelProto:
        """The current model, whose variables keep their names and layouts.

        Raises
        ------
        SpaError
            A layer cannot be written, or the outcome differs from the model's own.
        """
        from spa_kernel.frontends.keras.export.model import written

        def forward(feeds: Sequence[np.ndarray]) -> list[np.ndarray]:
            inputs = [keras.ops.convert_to_tensor(feed) for feed in feeds]
            with inference():
                outputs = run(self.outer, inputs)
            return [np.asarray(keras.ops.convert_to_numpy(value)) for value in outputs]

        self.check()
        return written(self.outer, self._feeds, forward)

    @property
    def feeds(self) -> Any:
        return self._feeds

    def reconstruction(
        self, coupling: Coupling, data: Any, foreign: bool
    ) -> Callable[[np.ndarray], list[str]]:
        pending = self.twin(coupling).mending(data, foreign)

        def mend(removed: np.ndarray) -> list[str]:
            found, notes = pending.carry_out(self.as_onnx(), self._feeds, removed)
            variables = named_weights(self.outer)
            for name, array in found.items():
                variables[name].assign(array)
            return notes

        return mend

    def _settled(self) -> None:
        self._signature = signature(self.outer)


def loaded(path: str | Path) -> Any:
    """The model in a .keras file."""
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        raise CaptureError(f"{path} cannot be read by Keras: {error}") from error


def signature(model: Any) -> tuple[object, ...]:
    """Layers and weight shapes: all about a model but the values of its weights."""
    weights = named_weights(model).items()
    if isinstance(model, Traced):
        layers = [layer for layer, _ in placed(model.source, "")]
    else:
        layers = [node.operation for node in calls(functional(model))]
    return (
        tuple(map(id, layers)),
        tuple((name, id(v), tuple(v.shape), v.dtype) for name, v in weights),
    )
