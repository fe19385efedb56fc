"""Flax.nnx modules, pruned in place."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import ref

import jax
import numpy as np
from flax import nnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, InfeasibleTarget, SpaError, StaleSession
from spa_kernel.frontends.backend import Backend, Change, Timed, Verification
from spa_kernel.frontends.jax.capture import Captured, JaxGraph
from spa_kernel.frontends.jax.inputs import normalise_inputs
from spa_kernel.frontends.jax.model import NnxModel, is_numeric
from spa_kernel.frontends.jax.packing import packed, unpacked
from spa_kernel.graph.ir import Graph

Signature = dict[str, tuple[tuple[int, ...], str]]


class JaxBackend(Backend):
    """A flax.nnx module and the example inputs that it is traced with.

    Parameters
    ----------
    model : flax.nnx.Module
    inputs : array, shape, tuple or list of these, or dict of these by argument name

    Raises
    ------
    CaptureError
    """

    framework = "jax"
    model: nnx.Module

    def __init__(self, model: nnx.Module, inputs: Any) -> None:
        self.model = model
        self.inputs = normalise_inputs(inputs)
        self.named = NnxModel(model)
        self._captured: Captured | None = None
        self._left: Signature = self._signature()
        self._seen: list[Any] = []
        self._writes = 0

    def capture(self) -> Graph:
        if self._captured is None or self._signature() != self._left:
            self._settle(Captured(self.named, self.inputs))
        assert self._captured is not None
        return self._captured.graph

    def array(self, name: str) -> np.ndarray:
        content = np.asarray(self.named.variables[name].get_raw_value())
        return content.astype(np.float64 if content.dtype == np.float64 else np.float32)

    def apply(
        self, coupling: Coupling, removed: np.ndarray, *, verify: bool = True, optimizer: Any = None
    ) -> tuple[Change, Verification]:
        from spa_kernel.surgery.jax import operate

        if optimizer is not None:
            raise InfeasibleTarget(
                "the state of an optimizer of a JAX model is not cut: prune without optimizer= and "
                "make the optimizer anew, nnx.Optimizer(model, ..., wrt=nnx.Param)"
            )
        before = self._current(coupling)
        change, verification, after = operate(
            self.named, self.inputs, before, coupling, removed, verify=verify
        )
        states = [before, after]

        def turn() -> None:
            states.reverse()
            self._settle(states[1])

        change.guard, change.after = self.check, turn
        self._settle(after)
        return change, verification

    def follows(self, coupling: Coupling, removed: np.ndarray) -> SpaError | None:
        from spa_kernel.surgery.jax import follows

        return follows(self.named, self.inputs, self._current(coupling), coupling, removed)

    def _current(self, coupling: Coupling) -> Captured:
        """What was read of the model as it is; the coupling must be made from it."""
        self.check()
        graph = coupling.graph
        captured = graph.captured if isinstance(graph, JaxGraph) else None
        if captured is None or captured is not self._captured:
            raise StaleSession(
                "the plan was made for another state of this model: analyse the model again"
            )
        return captured

    @property
    def given(self) -> Any:
        args, kwargs = self.inputs
        return args or kwargs

    def settings(self) -> Callable[[], None]:
        flags = self.named.flags()

        def put_back() -> None:
            for module, flag, value in flags:
                setattr(module, flag, value)

        return put_back

    @contextmanager
    def lent(self) -> Iterator[None]:
        put_back = self.settings()
        try:
            yield
        finally:
            put_back()

    def writes(self) -> int:
        # Arrays never change: what was written to holds another one.
        arrays = list(self.named.arrays().values())
        same = len(arrays) == len(self._seen) and all(
            old() is new for old, new in zip(self._seen, arrays, strict=True)
        )
        if not same:
            self._writes += 1
            self._seen = [ref(array) for array in arrays]
        return self._writes

    def timed(self, coupling: Coupling | None = None, removed: np.ndarray | None = None) -> Timed:
        from spa_kernel.surgery.jax import operate

        self.check()
        model = nnx.merge(*nnx.split(self.model))
        if coupling is not None and removed is not None:
            operate(NnxModel(model), self.inputs, self._current(coupling), coupling, removed,
                    verify=False)  # fmt: skip
        return JaxTimed(NnxModel(model), self.inputs)

    def _signature(self) -> Signature:
        return {n: (tuple(a.shape), str(a.dtype)) for n, a in NnxModel(self.model).arrays().items()}

    def _settle(self, captured: Captured) -> None:
        self._captured, self._left = captured, self._signature()

    def check(self) -> None:
        now, held = self._signature(), self.named.variables
        names = [n for n in {**now, **self._left} if now.get(n) != self._left.get(n)]
        names += [n for n, v in NnxModel(self.model).variables.items() if held.get(n) is not v]
        if names:
            raise StaleSession(
                f"{type(self.model).__name__} was changed from outside since it was analysed: "
                f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''} "
                "came, went, or have another shape or type. Analyse the model again."
            )

    def snapshot(self) -> bytes:
        return packed(self.named.arrays())

    def restore(self, content: bytes) -> None:
        saved, own = unpacked(content), self.named.arrays()
        wrong = [
            n for n in {**own, **saved}
            if n not in own or n not in saved or saved[n].shape != own[n].shape
        ]  # fmt: skip
        if wrong:
            raise SpaError(
                f"the saved tensors do not fit {type(self.model).__name__}: "
                f"{', '.join(wrong[:3])}. Load into a model that is built as the saved one was, "
                "before any prune"
            )
        for name, variable in self.named.variables.items():
            array = saved[name]
            numeric = is_numeric(array)
            variable.set_raw_value(jax.numpy.asarray(array, own[name].dtype) if numeric else array)

    def example(self) -> bytes:
        args, kwargs = self.inputs
        return packed({**{f"{i}": a for i, a in enumerate(args)}, **kwargs})

    @staticmethod
    def open_example(content: bytes) -> Any:
        arrays = unpacked(content)
        return tuple(arrays.values()) if "0" in arrays else arrays

    def export(self, path: Path) -> None:
        raise SpaError(
            "a JAX model is not written as ONNX here: use jax2onnx or jax.export on the module"
        )


class JaxTimed(Timed):
    """A compiled forward in eval mode.

    Parameters
    ----------
    model : NnxModel
    inputs : (tuple, dict)
    """

    def __init__(self, model: NnxModel, inputs: Any) -> None:
        self._forward = jax.jit(model.function())
        args, kwargs = jax.tree.map(jax.numpy.asarray, inputs)
        self._given = model.arrays(), args, kwargs
        try:
            self.seconds()
        except Exception as error:
            raise CaptureError(f"the model does not run: {error}") from error

    def seconds(self) -> float:
        start = time.perf_counter()
        jax.block_until_ready(self._forward(*self._given))
        return time.perf_counter() - start
