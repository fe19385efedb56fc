"""Keras models behind the interface that a session works with."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Hashable
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, InfeasibleTarget, SpaError, StaleSession
from spa_kernel.frontends.backend import Backend, Change, Timed, Verification
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
from spa_kernel.frontends.onnx.rewrites import After
from spa_kernel.graph.ir import Graph


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


class KerasBackend(Backend):
    """A functional or Sequential Keras model, which is edited in place.

    Parameters
    ----------
    model : keras.Model
    inputs : shape, array, sequence of these, or dict of these by input name, optional
        Needed where the model does not state its input shapes; an unknown batch is 1.
    """

    framework = "keras"

    def __init__(self, model: Any, inputs: Any = None) -> None:
        readable(model)
        self.model = model
        self._given = given_inputs(model, inputs)
        self._feeds = feeds(model, self._given)
        self._signature = signature(model)

    def capture(self) -> Graph:
        try:
            captured = Captured(self.model, self._feeds)
        except SpaError:
            raise
        except Exception as error:
            raise CaptureError(f"{self.model.name} fails on the example input: {error}") from error
        self._settled()
        captured.signature = self._signature
        return captured.graph

    def array(self, name: str) -> np.ndarray:
        content = keras.ops.convert_to_numpy(named_weights(self.model)[name])
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
        surgeon = Surgeon(self.model, captured, After(coupling, removed), self._feeds)
        change, verification = surgeon.operate(verify, self._settled)
        known = all(isinstance(value, np.ndarray) for value in self._given)
        how = verification.how.replace(
            "the inputs", f"{'the example' if known else 'random'} inputs"
        )
        return change, replace(verification, how=how)

    @property
    def given(self) -> Any:
        return self._given

    def writes(self) -> Hashable:
        values = [v._value for v in named_weights(self.model).values()]
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
        surgeon = Surgeon(self.model, captured, After(coupling, removed), self._feeds)
        return KerasTimed(surgeon.pruned(None), self._feeds)

    def check(self) -> None:
        if signature(self.model) != self._signature:
            raise StaleSession(
                "layers or weight shapes of the model were changed from outside: analyse it again"
            )

    def snapshot(self) -> bytes:
        arrays = {
            name: keras.ops.convert_to_numpy(v) for name, v in named_weights(self.model).items()
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
        present, contents = named_weights(self.model), {}
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

    def example(self) -> bytes:
        content = io.BytesIO()
        parts: dict[str, Any] = {str(at): value for at, value in enumerate(self._feeds)}
        np.savez(content, allow_pickle=False, **parts)
        return content.getvalue()

    @staticmethod
    def open_example(content: bytes) -> Any:
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            return [saved[str(at)] for at in range(len(saved.files))]

    def export(self, path: Path) -> None:
        raise InfeasibleTarget(
            "a Keras model cannot be written as ONNX here yet: save it with "
            "model.save('net.keras'), or use Keras' own model.export(..., format='onnx')"
        )

    def _settled(self) -> None:
        self._signature = signature(self.model)


def signature(model: Any) -> tuple[object, ...]:
    """Layers and weight shapes: all about a model but the values of its weights."""
    weights = named_weights(model).items()
    return (
        tuple(id(node.operation) for node in calls(functional(model))),
        tuple((name, id(v), tuple(v.shape), v.dtype) for name, v in weights),
    )
