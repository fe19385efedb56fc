"""ONNX models behind the interface that a session works with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import (
    CaptureError,
    InfeasibleTarget,
    SpaError,
    StaleSession,
    UnsupportedOperator,
)
from spa_kernel.frontends.backend import Change, Verification
from spa_kernel.frontends.onnx.beside import is_large, packed, save_beside, unpacked
from spa_kernel.frontends.onnx.capture import Captured, OnnxGraph
from spa_kernel.frontends.onnx.inputs import given_inputs
from spa_kernel.frontends.onnx.quantised import Quantised, dequantised, quantised_weights
from spa_kernel.frontends.onnx.run import Light, Ran, random_inputs
from spa_kernel.frontends.onnx.soundness import check_sound
from spa_kernel.frontends.onnx.tensors import Tensors
from spa_kernel.frontends.onnx.timing import OnnxTimed
from spa_kernel.frontends.onnx.written import inline
from spa_kernel.frontends.twinned import TwinnedBackend
from spa_kernel.graph.ir import Graph
from spa_kernel.surgery.after import After

if TYPE_CHECKING:
    from spa_kernel.frontends.onnx.mending import Mending
    from spa_kernel.frontends.twins import TwinMending
    from spa_kernel.surgery.onnx_edits import OnnxChange

Signature = tuple[object, ...]


class OnnxBackend(TwinnedBackend):
    """An ONNX model; its own ModelProto is edited.

    Parameters
    ----------
    model : onnx.ModelProto, str or Path
        A path is loaded, with the weights that lie beside it; the file is left alone.
    inputs : shape, array, sequence of these, or dict of these by input name, optional
        Needed where the model does not state its input shapes; an unknown batch is 1.
    """

    framework = "onnx"
    model: onnx.ModelProto

    def __init__(self, model: onnx.ModelProto | str | os.PathLike[str], inputs: Any = None) -> None:
        self.model = load(model)
        check_sound(self.model)
        self._given = given_inputs(self.model, inputs)
        self._tensors: Tensors | None = None
        self._quantised: dict[str, Quantised] = {}
        self._signature = signature(self.model)
        self._change: OnnxChange | None = None

    def capture(self) -> Graph:
        captured = Captured(self.model, self._given)
        self._settled()
        captured.signature = self._signature
        return captured.graph

    def array(self, name: str) -> np.ndarray:
        if self._tensors is None:
            base = inline(self.model)
            self._tensors = Tensors(base)
            self._quantised = quantised_weights(base, self._tensors)
        content = self._tensors.array(name)
        if name in self._quantised:
            content = dequantised(content, self._quantised[name], self._tensors)
        wanted = np.float64 if content.dtype == np.float64 else np.float32
        return content.astype(wanted, copy=False)

    def apply(
        self, coupling: Coupling, removed: np.ndarray, *, verify: bool = True, optimizer: Any = None
    ) -> tuple[Change, Verification]:
        from spa_kernel.surgery import onnx_verify
        from spa_kernel.surgery.onnx import Surgeon, written_out
        from spa_kernel.surgery.onnx_edits import OnnxChange
        from spa_kernel.surgery.onnx_mask import masked

        self.check()
        graph = coupling.graph
        captured = graph.captured if isinstance(graph, OnnxGraph) else None
        if captured is None or captured.signature != self._signature:
            raise StaleSession(
                "the plan was made for another state of this model: analyse the model again"
            )
        after, base = After(coupling, removed), inline(self.model)
        splices = Surgeon(captured, base, after).splices()
        if base is not self.model:
            splices = [*written_out(self.model, base), *splices]
        change = OnnxChange(self.model, splices, self.check, self._settled)
        original = None

        def unpruned() -> Light:
            change.undo()
            try:
                return masked(captured, base, after)
            finally:
                change.redo()

        if verify:
            # Before the prune, so that its weights and those of the copy for undo, which are as
            # many, are not held at the same time.
            feeds = random_inputs(base, captured.shapes, captured.given)
            original = Ran(masked(captured, base, after), feeds, unpruned)
        change.commit()
        self._change = change
        if original is None:
            return change, Verification(False, None, "not checked")
        try:
            return change, onnx_verify.verify(self.model, original, captured, after)
        except BaseException:
            change.undo()
            raise

    @property
    def given(self) -> Any:
        return self._given or None

    def statistic(
        self,
        name: str,
        coupling: Coupling,
        data: Any = None,
        loss: Any = None,
        seed: int = 0,
        foreign: bool = False,
    ) -> Any:
        from spa_kernel.frontends.onnx.removal import removal_cost

        self._in_floats()
        try:
            return super().statistic(name, coupling, data, loss, seed, foreign)
        except UnsupportedOperator:
            if name != "removal_cost":
                raise
        return removal_cost(Captured(self.model, self._given), coupling, data, foreign)

    def synthetic(self, coupling: Coupling, seed: int = 0) -> Any:
        from spa_kernel.frontends.onnx.synthetic import synthetic

        self.check()
        try:
            return super().synthetic(coupling, seed)
        except UnsupportedOperator:
            return synthetic(Captured(self.model, self._given), seed=seed)

    def reconstruction(
        self, coupling: Coupling, data: Any, foreign: bool
    ) -> Callable[[np.ndarray], list[str]]:
        from spa_kernel.frontends.onnx.mending import Mending
        from spa_kernel.surgery.onnx import contents

        self._in_floats()
        pending: TwinMending | Mending
        try:
            pending = self.twin(coupling).mending(data, foreign)
        except UnsupportedOperator:
            pending = Mending(self.model, self._given, coupling, data, foreign)

        def mend(removed: np.ndarray) -> list[str]:
            assert self._change is not None
            found, notes = pending.carry_out(self.model, self._given, removed)
            self._change.extend(contents(self.model, found))
            return notes

        return mend

    def as_onnx(self) -> onnx.ModelProto:
        return self.model

    def export(self, path: Path) -> None:
        if is_large(self.model):
            save_beside(self.model, Path(path))
        else:
            super().export(path)

    @property
    def feeds(self) -> Any:
        return self._given

    def timed(
        self, coupling: Coupling | None = None, removed: np.ndarray | None = None
    ) -> OnnxTimed:
        self.check()
        if coupling is None or removed is None:
            return OnnxTimed(self.model, self._given)
        copy = onnx.ModelProto()
        copy.CopyFrom(self.model)
        OnnxBackend(copy, self._given).apply(coupling, removed, verify=False)
        return OnnxTimed(copy, self._given)

    def check(self) -> None:
        if signature(self.model) != self._signature:
            raise StaleSession(
                "nodes or weight shapes of the model were changed from outside: analyse it again"
            )

    def snapshot(self) -> bytes:
        return packed(self.model)

    def restore(self, content: bytes) -> None:
        saved, weights = unpacked(content)
        if signature(saved) != signature(self.model):
            raise SpaError(
                "the saved model has other nodes or weight shapes than this one: load into the "
                "model that was analysed first, before any prune"
            )
        self.model.CopyFrom(saved)
        for index, raw in weights:
            self.model.graph.initializer[index].raw_data = raw
        self._settled()

    def example(self) -> bytes:
        given = self._given.items()
        shapes = {n: list(v.shape if isinstance(v, np.ndarray) else v) for n, v in given}
        return json.dumps(shapes).encode()

    @staticmethod
    def open_example(content: bytes) -> Any:
        return {name: tuple(shape) for name, shape in json.loads(content).items()} or None

    def _in_floats(self) -> None:
        """That weights can be calculated with, or be replaced."""
        self.check()
        base = inline(self.model)
        for name in quantised_weights(base, Tensors(base)):
            raise InfeasibleTarget(
                f"{name!r} holds whole numbers that stand for weights, which cannot be calibrated: "
                "choose a criterion that needs weights only, or prune before quantising"
            )

    def _settled(self) -> None:
        self._tensors = None
        self._signature = signature(self.model)


def load(model: Any) -> onnx.ModelProto:
    """The model itself, or the one in a file."""
    if isinstance(model, onnx.ModelProto):
        return model
    if not isinstance(model, str | os.PathLike):
        raise CaptureError(
            f"a {type(model).__name__} is not an ONNX model: pass an onnx.ModelProto or the path "
            "of an .onnx file"
        )
    try:
        return onnx.load_model(str(model))
    except FileNotFoundError as error:
        raise CaptureError(f"there is no file {error.filename or model}") from error
    except Exception as error:
        raise CaptureError(f"{model} cannot be read as an ONNX model: {error}") from error


def signature(model: onnx.ModelProto) -> Signature:
    """Everything about a model but the values of its weights and attributes."""
    return (
        tuple((t.name, tuple(t.dims), t.data_type) for t in model.graph.initializer),
        tuple((n.op_type, tuple(n.input), tuple(n.output)) for n in model.graph.node),
        len(model.functions),
    )
