"""Backends that have their statistics from a torch module beside the model."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.frontends.backend import Backend

if TYPE_CHECKING:
    from spa_kernel.frontends.onnx.twin import RebuiltInTorch
    from spa_kernel.frontends.twins import TorchTwin

LIMIT = 2**31 - 2**24
"""Protocol buffers hold at most 2 GiB in one piece; larger models keep weights beside them."""


class TwinnedBackend(Backend):
    """A model that can be written as ONNX with its own names, and so be built in torch."""

    @abstractmethod
    def as_onnx(self) -> onnx.ModelProto:
        """The current model, whose stored tensors keep their names and layouts.

        Raises
        ------
        SpaError
            Something in it cannot be written, or what was written computes something else.
        """

    @property
    @abstractmethod
    def feeds(self) -> Any:
        """The example inputs as the ONNX model takes them."""

    def as_torch(self) -> RebuiltInTorch:
        from spa_kernel.frontends.onnx.twin import twin_of

        return twin_of(self.as_onnx(), self.feeds)

    def twin(self, coupling: Coupling) -> TorchTwin:
        """The model as a torch module, for what only torch can work out."""
        from spa_kernel.frontends.twins import TorchTwin

        return TorchTwin(self.as_onnx(), self.feeds, coupling)

    def statistic(
        self,
        name: str,
        coupling: Coupling,
        data: Any = None,
        loss: Any = None,
        seed: int = 0,
        foreign: bool = False,
    ) -> Any:
        return self.twin(coupling).statistic(name, data, loss, seed, foreign)

    def synthetic(self, coupling: Coupling, seed: int = 0) -> Any:
        return self.twin(coupling).synthetic(seed)

    def export(self, path: Path) -> None:
        model = self.as_onnx()
        if sum(len(t.raw_data) for t in model.graph.initializer) < LIMIT:
            onnx.save_model(model, str(path))
            return
        # `save_model` would move the weights of the model at hand out of it.
        copy = onnx.ModelProto()
        copy.CopyFrom(model)
        beside = f"{Path(path).name}.data"
        onnx.save_model(copy, str(path), save_as_external_data=True, location=beside)
