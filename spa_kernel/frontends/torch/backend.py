"""Torch modules, pruned in place."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from io import BytesIO
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch
from torch import nn

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import CaptureError, SpaError, StaleSession
from spa_kernel.frontends.backend import Backend, Change, Verification
from spa_kernel.frontends.torch.capture import device_of, normalise_inputs, quiet_eval, record
from spa_kernel.frontends.torch.mending import Mending
from spa_kernel.frontends.torch.recorder import Identity, Recorder, identity
from spa_kernel.frontends.torch.statistics import Run, compute
from spa_kernel.frontends.torch.synthetic import synthetic
from spa_kernel.frontends.torch.timing import TorchTimed, copied
from spa_kernel.graph.ir import Graph
from spa_kernel.plan.cost import CostModel
from spa_kernel.surgery.journal import set_data
from spa_kernel.surgery.torch import Copies, follows, operate


class TorchBackend(Backend):
    """A torch module and the example inputs that it is recorded with.

    Parameters
    ----------
    model : torch.nn.Module
    inputs : tensor, tuple, dict or shape
        As for `spa_kernel.analyze`.

    Raises
    ------
    CaptureError
    """

    framework = "torch"

    def __init__(self, model: nn.Module, inputs: Any) -> None:
        if next(model.parameters(), None) is None:
            raise CaptureError(
                f"{type(model).__name__} has no parameters, so nothing can be pruned"
            )
        self.model = model
        self.inputs = normalise_inputs(inputs, *device_of(model))
        self._recorder: Recorder | None = None
        self._copies: Copies = WeakValueDictionary()
        self._left: dict[str, Identity] = {}

    def capture(self) -> Graph:
        if self._recorder is None:
            self._recorder = record(self.model, self.inputs)
            self._left = self._recorder.structure
        return self._recorder.graph

    def array(self, name: str) -> np.ndarray:
        tensor: torch.Tensor = reduce(getattr, name.split("."), self.model)
        tensor = tensor.detach().cpu()
        if tensor.dtype not in (torch.float32, torch.float64):
            tensor = tensor.float()
        array: np.ndarray = tensor.numpy()
        return array

    def apply(
        self, coupling: Coupling, removed: np.ndarray, *, verify: bool = True, optimizer: Any = None
    ) -> tuple[Change, Verification]:
        self.check()
        before, left = self._recorder, self._left
        assert before is not None and before.graph is coupling.graph
        flops = CostModel(coupling.graph, coupling).base[0]
        journal, verification, after = operate(
            self.model,
            self.inputs,
            before,
            coupling,
            removed,
            verify=verify,
            flops=flops,
            copies=self._copies,
            optimizer=optimizer,
        )
        recorders = [before, after]

        def turn() -> None:
            recorders.reverse()
            self._recorder = recorders[1]
            self._left = self._structure()

        try:
            self._recorder, self._left = after, self._structure()
        except BaseException:
            journal.undo()
            self._recorder, self._left = before, left
            raise
        journal.after = turn
        return journal, verification

    @property
    def given(self) -> Any:
        args, kwargs = self.inputs
        return args or kwargs

    def settings(self) -> Callable[[], None]:
        modules = [(m, m.training, dict(m._buffers)) for m in self.model.modules()]
        tensors = [(tensor, tensor.data) for _, tensor in self._tensors()]
        parameters = [(p, p.requires_grad, p.grad) for p in self.model.parameters()]

        def put_back() -> None:
            # .to(), .cuda() and .double() leave other buffers, and other data in the parameters.
            for module, training, buffers in modules:
                module.training = training
                module._buffers.update(buffers)
            for tensor, data in tensors:
                if (tensor.dtype, tensor.device) != (data.dtype, data.device):
                    tensor.grad = None
                    set_data(tensor, data)
            for parameter, wanted, grad in parameters:
                parameter.requires_grad_(wanted)
                parameter.grad = grad

        return put_back

    @contextmanager
    def lent(self) -> Iterator[None]:
        put_back = self.settings()
        try:
            # A backward would add to what is there.
            for parameter in self.model.parameters():
                parameter.grad = None
            yield
        finally:
            put_back()

    def follows(self, coupling: Coupling, removed: np.ndarray) -> SpaError | None:
        self.check()
        assert self._recorder is not None
        return follows(self.model, self.inputs, self._recorder, coupling, removed)

    def statistic(
        self,
        name: str,
        coupling: Coupling,
        data: Any = None,
        loss: Any = None,
        seed: int = 0,
        foreign: bool = False,
    ) -> Any:
        self.check()
        assert self._recorder is not None
        return compute(
            name, Run(self.model, self.inputs, self._recorder, coupling, data, loss, seed, foreign)
        )

    def synthetic(self, coupling: Coupling, seed: int = 0) -> Any:
        self.check()
        return synthetic(self.model, self.inputs, coupling.graph, seed=seed)

    def reconstruction(
        self, coupling: Coupling, data: Any, foreign: bool
    ) -> Callable[[np.ndarray], list[str]]:
        self.check()
        assert self._recorder is not None
        pending = Mending(self.model, self.inputs, self._recorder, coupling, data, foreign)

        def mend(removed: np.ndarray) -> list[str]:
            assert self._recorder is not None
            return pending.carry_out(self._recorder, removed)

        return mend

    def timed(
        self, coupling: Coupling | None = None, removed: np.ndarray | None = None
    ) -> TorchTimed:
        self.check()
        model = copied(self.model)
        if coupling is not None and removed is not None:
            assert self._recorder is not None
            operate(
                model,
                self.inputs,
                self._recorder,
                coupling,
                removed,
                verify=False,
                flops=0,
                copies=WeakValueDictionary(),
                optimizer=None,
            )
        return TorchTimed(model, self.inputs)

    def _structure(self) -> dict[str, Identity]:
        return {name: identity(t) for name, t in self._tensors()}

    def _tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from self.model.named_parameters()
        yield from self.model.named_buffers()

    def writes(self) -> tuple[int, ...]:
        return tuple(tensor._version for _, tensor in self._tensors())

    def check(self) -> None:
        now = self._structure()
        if now != self._left:
            names = [n for n in {**now, **self._left} if now.get(n) != self._left.get(n)]
            raise StaleSession(
                f"{type(self.model).__name__} was changed from outside since it was analysed: "
                f"{', '.join(names[:3])}{' and others' if len(names) > 3 else ''} "
                "replaced, or of another shape, type or device. Analyse the model again."
            )

    def snapshot(self) -> bytes:
        return packed(dict(self._tensors()))

    def restore(self, content: bytes) -> None:
        saved, own = unpacked(content), dict(self._tensors())
        wrong = [n for n in {**own, **saved} if not alike(own.get(n), saved.get(n))]
        if wrong:
            raise SpaError(
                f"the saved tensors do not fit {type(self.model).__name__}: "
                f"{', '.join(wrong[:3])}. Load into a model that is built as the saved one was, "
                "before any prune"
            )
        with torch.no_grad():
            for name, tensor in own.items():
                tensor.copy_(saved[name])

    def example(self) -> bytes:
        return packed(self.given)

    @staticmethod
    def open_example(content: bytes) -> Any:
        return unpacked(content)

    def as_onnx(self) -> Any:
        return self._program().model_proto

    def as_torch(self) -> nn.Module:
        return self.model

    def export(self, path: Path) -> None:
        self._program().save(path)

    def _program(self) -> torch.onnx.ONNXProgram:
        """What torch makes of the current model for ONNX."""
        args, kwargs = self.inputs
        try:
            with quiet_eval(self.model):
                program = torch.onnx.export(
                    self.model, args, kwargs=kwargs, dynamo=True, verbose=False
                )
        except Exception as error:
            raise SpaError(
                f"torch.onnx could not export {type(self.model).__name__}: {error}"
            ) from error
        assert program is not None
        return program


def packed(content: Any) -> bytes:
    """Tensors in containers, in torch's own format."""
    file = BytesIO()
    torch.save(content, file)
    return file.getvalue()


def unpacked(content: bytes) -> Any:
    """The same again; nothing in it is executed."""
    return torch.load(BytesIO(content), weights_only=True)


def alike(a: torch.Tensor | None, b: torch.Tensor | None) -> bool:
    """Whether two tensors have the same shape."""
    return a is not None and b is not None and a.shape == b.shape
