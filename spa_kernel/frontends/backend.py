"""What a framework must offer so that a session can work on its models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import InfeasibleTarget, SpaError
from spa_kernel.graph.ir import Graph, Node


class Change(ABC):
    """One prune that was carried out: can be taken back and done again, bit for bit."""

    @abstractmethod
    def undo(self) -> None:
        """Put back the state from before the prune, weights included."""

    @abstractmethod
    def redo(self) -> None:
        """Put back the state that `undo` left."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """Memory that the change holds on to, in bytes."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How a prune was checked.

    ``error`` is the largest difference between the pruned model and the masked original,
    relative to the original output's standard deviation; ``None`` where only the structure
    (operators, shapes, scalars) was compared.
    """

    ok: bool
    error: float | None
    how: str


class Timed(ABC):
    """A copy of a model, ready to run on the example input, that is there to be timed."""

    @abstractmethod
    def seconds(self) -> float:
        """One forward in evaluation mode without gradients; how long it took."""

    def parts(self, graph: Graph) -> list[list[Node]]:
        """The operators of each part of the network that can be timed on its own.

        Parameters
        ----------
        graph : Graph
            Of the model as it is.
        """
        return [graph.nodes[: graph.evaluated]]

    def split(self, pruned: Timed) -> np.ndarray:
        """Seconds of each of `parts` in a pruned copy, or in this copy itself (float64)."""
        return np.array([pruned.seconds()])


class Backend(ABC):
    """A model of one framework."""

    framework: str
    model: Any

    @abstractmethod
    def __init__(self, model: Any, inputs: Any) -> None:
        """Check that the model can be read with these inputs.

        Raises
        ------
        CaptureError
        """

    @abstractmethod
    def capture(self) -> Graph:
        """Read the current model into a standard graph; the model is left as it was.

        Raises
        ------
        CaptureError
        """

    @abstractmethod
    def array(self, name: str) -> np.ndarray:
        """The content of a parameter or buffer, in float32 or float64."""

    @abstractmethod
    def apply(
        self, coupling: Coupling, removed: np.ndarray, *, verify: bool = True, optimizer: Any = None
    ) -> tuple[Change, Verification]:
        """Remove labels (bool mask over ``coupling.count``) from the model, all or nothing.

        Raises
        ------
        VerificationFailed
            The model is as it was before.
        """

    @property
    @abstractmethod
    def given(self) -> Any:
        """The example inputs as the constructor takes them."""

    def writes(self) -> Hashable:
        """Another value after tensors were written to, as far as the framework tells."""
        return 0

    def settings(self) -> Callable[[], None]:
        """A function that puts back what a `Change` does not hold, such as train and eval mode."""
        return lambda: None

    @contextmanager
    def lent(self) -> Iterator[None]:
        """While somebody else's code uses the model: afterwards its settings are as before.

        Tensors are put back by the change that surrounds such a use.
        """
        yield

    def follows(self, coupling: Coupling, removed: np.ndarray) -> SpaError | None:
        """What would be in the way of a prune, other than weights; the model is left as it is.

        ``None`` where nothing is, as in a framework whose sizes can all be rewritten.
        """
        return None

    def statistic(
        self,
        name: str,
        coupling: Coupling,
        data: Any = None,
        loss: Any = None,
        seed: int = 0,
        foreign: bool = False,
    ) -> Any:
        """A statistic of the current model, see `spa_kernel.importance.needs`.

        Parameters
        ----------
        name : str
        coupling : Coupling
            Of the current model.
        data : iterable, optional
            Batches: ``(inputs, targets)``, or inputs alone where no targets are needed.
        loss : callable, optional
            ``loss(output, targets)``, a scalar.
        seed : int
        foreign : bool
            Whether the data is not what the model was trained on.

        Raises
        ------
        DataNeeded
            ``data`` or ``loss`` is missing.
        InfeasibleTarget
            This framework has no such statistic.
        """
        raise InfeasibleTarget(
            f"{name} cannot be had from a model in {self.framework}: choose a criterion that needs "
            "weights only, or analyse the torch module"
        )

    def synthetic(self, coupling: Coupling, seed: int = 0) -> Any:
        """Batches of inputs made from the network alone.

        Raises
        ------
        InfeasibleTarget
        """
        raise InfeasibleTarget(
            f"inputs cannot be made from a model in {self.framework} yet: give data="
        )

    def reconstruction(
        self, coupling: Coupling, data: Any, foreign: bool
    ) -> Callable[[np.ndarray], list[str]]:
        """Get ready to give the model, once it has been pruned, the weights that suit best.

        Parameters
        ----------
        coupling : Coupling
            Of the model as it is.
        data : iterable
            Batches of inputs.
        foreign : bool
            Whether they are not what the model was trained on.

        Returns
        -------
        callable
            To be called with the mask of labels that were removed, after `apply`; says in
            sentences what it did. The change that `apply` returned takes it back as well.

        Raises
        ------
        DataNeeded, InfeasibleTarget
        """
        raise InfeasibleTarget(
            f"weights of a model in {self.framework} cannot be reconstructed yet: prune with "
            "reconstruct=False"
        )

    @abstractmethod
    def timed(self, coupling: Coupling | None = None, removed: np.ndarray | None = None) -> Timed:
        """A copy of the current model to be timed, after removing labels where these are given.

        Raises
        ------
        SpaError
            It cannot be copied, pruned or run; the model is left as it is.
        """

    @abstractmethod
    def check(self) -> None:
        """Raise `StaleSession` if the model's structure was changed from outside."""

    @abstractmethod
    def snapshot(self) -> bytes:
        """The content of every tensor of the current model."""

    @abstractmethod
    def restore(self, content: bytes) -> None:
        """Give the model's tensors the content of a `snapshot` of the same shapes.

        Raises
        ------
        SpaError
            The shapes or names differ; the model is left as it is.
        """

    @abstractmethod
    def example(self) -> bytes:
        """The example inputs, for `open_example`."""

    @staticmethod
    @abstractmethod
    def open_example(content: bytes) -> Any:
        """Example inputs as the constructor takes them."""

    @abstractmethod
    def as_onnx(self) -> Any:
        """The current model as an onnx.ModelProto.

        Raises
        ------
        SpaError
            It cannot be written, or what was written computes something else.
        """

    @abstractmethod
    def as_torch(self) -> Any:
        """The current model as a torch.nn.Module.

        Raises
        ------
        SpaError
            Torch has no like of a part of it, or computes something else.
        """

    @abstractmethod
    def export(self, path: Path) -> None:
        """Write the current model as an ONNX file, or in a format of its own framework."""
