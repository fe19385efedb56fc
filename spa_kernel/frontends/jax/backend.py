"""Models in JAX: flax.nnx modules, Linen modules with variables, functions with parameters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from weakref import ref

import jax
import numpy as np
import onnx
from flax import nnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, InfeasibleTarget, SpaError, StaleSession
from spa_kernel.frontends.backend import Change, Timed, Verification
from spa_kernel.frontends.jax.adapters import adapter
from spa_kernel.frontends.jax.capture import Captured, JaxGraph
from spa_kernel.frontends.jax.functions import Functional
from spa_kernel.frontends.jax.inputs import normalise_inputs, opened
from spa_kernel.frontends.jax.model import JaxModel, is_numeric
from spa_kernel.frontends.jax.packing import packed, unpacked
from spa_kernel.frontends.twinned import TwinnedBackend
from spa_kernel.graph.ir import Graph

if TYPE_CHECKING:
    pass

Signature = dict[str, tuple[tuple[int, ...], str]]


class JaxBackend(TwinnedBackend):
    """A model and the example inputs that it is traced with.

    Parameters
    ----------
    model : flax.nnx.Module, Functional, or tuple of a function or Linen module and parameters
    inputs : array, shape, tuple or list of these, or dict of these by argument name

    Raises
    ------
    CaptureError
    """

    framework = "jax"
    model: nnx.Module | Functional

    def __init__(self, model: Any, inputs: Any) -> None:
        self.inputs = normalise_inputs(inputs)
        self.named = adapter(model)
        self.model = self.named.model
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
        args, kwargs = opened(self.inputs)
        return (*args, kwargs) if args and kwargs else args or kwargs

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
        model = self.named.copy()
        if coupling is not None and removed is not None:
            operate(model, self.inputs, self._current(coupling), coupling, removed, verify=False)
        return JaxTimed(model.reread(), self.inputs)

    def _signature(self) -> Signature:
        arrays = self.named.reread().arrays()
        return {n: (tuple(a.shape), str(a.dtype)) for n, a in arrays.items()}

    def _settle(self, captured: Captured) -> None:
        self._captured, self._left = captured, self._signature()

    def check(self) -> None:
        now = self._signature()
        names = [n for n in {**now, **self._left} if now.get(n) != self._left.get(n)]
        names += self.named.replaced(self.named.reread())
        if names:
            raise StaleSession(
                f"{self.named.title} was changed from outside since it was analysed: "
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
                f"the saved tensors do not fit {self.named.title}: "
                f"{', '.join(wrong[:3])}. Load into a model that is built as the saved one was, "
                "before any prune"
            )
        for name, variable in self.named.variables.items():
            array = saved[name]
            if is_numeric(array):
                library = np if isinstance(own[name], np.ndarray) else jax.numpy
                array = library.asarray(array, own[name].dtype)
            variable.set_raw_value(array)

    def example(self) -> bytes:
        args, kwargs = opened(self.inputs)
        items = {**{f"{i}": item for i, item in enumerate(args)}, **kwargs}
        return packed({n: np.asarray(a) if isinstance(a, bool) else a for n, a in items.items()})

    @staticmethod
    def open_example(content: bytes) -> Any:
        found = {
            name: bool(array) if array.shape == () and array.dtype == bool else array
            for name, array in unpacked(content).items()
        }
        named = {name: item for name, item in found.items() if not name.isdecimal()}
        placed = tuple(item for name, item in found.items() if name.isdecimal())
        return (*placed, named) if placed and named else placed or named

    def as_onnx(self) -> onnx.ModelProto:
        """The current model as an ONNX model that was compared with it.

        Stored tensors are initializers of the same names and shapes.

        Raises
        ------
        SpaError
        """
        from spa_kernel.frontends.jax.export.model import to_onnx

        self.check()
        return to_onnx(self.named, self.inputs)

    def statistic(
        self,
        name: str,
        coupling: Coupling,
        data: Any = None,
        loss: Any = None,
        seed: int = 0,
        foreign: bool = False,
    ) -> Any:
        from spa_kernel.frontends.jax.losses import bridged

        given = bridged(loss, name) if callable(loss) else loss
        return super().statistic(name, coupling, data, given, seed, foreign)

    def reconstruction(
        self, coupling: Coupling, data: Any, foreign: bool
    ) -> Callable[[np.ndarray], list[str]]:
        from spa_kernel.surgery.jax import beside

        pending = self.twin(coupling).mending(data, foreign)

        def mend(removed: np.ndarray) -> list[str]:
            found, notes = pending.carry_out(self.as_onnx(), self.feeds, removed)
            for name, array in found.items():
                held = self.named.variables[name].get_raw_value()
                own = beside(array.astype(held.dtype), held)
                self.named.variables[name].set_raw_value(own)
            return notes

        return mend

    @property
    def feeds(self) -> list[np.ndarray]:
        """The example inputs, one behind the other."""
        return [np.asarray(leaf) for leaf in jax.tree.leaves(self.inputs)]


class JaxTimed(Timed):
    """A compiled forward in eval mode.

    Parameters
    ----------
    model : JaxModel
    inputs : (tuple, dict)
    """

    def __init__(self, model: JaxModel, inputs: Any) -> None:
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
