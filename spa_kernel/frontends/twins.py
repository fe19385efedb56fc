"""What is known of torch modules, for models of other frameworks: by a torch module beside them.

The model, written as ONNX with its weights' own names and shapes, becomes a torch module (its
twin); whatever is worked out there is handed back in the model's own names, labels and groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
import onnx

from spa_kernel.coupling.result import Coupling
from spa_kernel.coupling.solver import couple
from spa_kernel.frontends.labels import carried_over
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import given_inputs, input_infos
from spa_kernel.frontends.onnx.twin import RebuiltInTorch, checked
from spa_kernel.frontends.onnx.twin.checked import example
from spa_kernel.frontends.onnx.twin.dtypes import to_array, to_tensor
from spa_kernel.frontends.torch.capture import record
from spa_kernel.frontends.torch.mending import Mending, taken
from spa_kernel.frontends.torch.passes import Inputs, mapped
from spa_kernel.frontends.torch.program import TorchProgram
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.frontends.torch.statistics import Run, compute
from spa_kernel.frontends.torch.synthetic import synthetic
from spa_kernel.frontends.twin_batches import Batches, counted
from spa_kernel.obspa.inputs import entries
from spa_kernel.obspa.program import State

OF_PARAMETERS = frozenset(
    "gradient squared_gradient hessian_gradient tempered_hessian_gradient flow".split()
)
"""Statistics of each parameter by itself, which ask for no operators."""
OF_LAYERS = frozenset(["input_norm", "inverse_hessian_diagonal"])
"""Statistics of what weights are multiplied by, which ask for no coupled channels."""


class NamedRun(Run):
    """A run whose parameters go by the names that the model has for them."""

    @contextmanager
    def parameters(self) -> Iterator[dict[str, Any]]:
        assert isinstance(self.model, RebuiltInTorch)
        own = {inner: name for name, inner in self.model.names.items()}
        with super().parameters() as found:
            yield {own[name]: tensor for name, tensor in found.items()}


def plausible(captured: Captured) -> list[np.ndarray]:
    """Example inputs; whole numbers that nobody gave are 0 where they look something up, else 1.

    As in a mask of which nothing is hidden.
    """
    feeds = example(captured)
    for value in captured.graph.inputs:
        given = isinstance(captured.given.get(value.name), np.ndarray)
        if not given and np.dtype(value.dtype).kind in "iub":
            mask = entries(value, captured.graph) is None
            feeds[value.name] = np.full_like(feeds[value.name], mask)
    return list(feeds.values())


class TorchTwin:
    """The torch module beside a model.

    Parameters
    ----------
    model : onnx.ModelProto
        The model as it is.
    inputs : shape, array, sequence of these, or dict of these by input name
        The example inputs.
    native : Coupling
        Of the model in its own framework.

    Raises
    ------
    UnsupportedOperator
        There is no such module, or it does not do what the model does.
    """

    def __init__(self, model: onnx.ModelProto, inputs: Any, native: Coupling) -> None:
        captured = Captured(model, given_inputs(model, inputs))
        self.model = captured.model
        self.native = native
        self.module = checked(captured)
        self.inputs: Inputs = tuple(map(to_tensor, plausible(captured))), {}

    @cached_property
    def recorder(self) -> Recorder:
        """What torch does in a forward on the example."""
        recorder = record(self.module, self.inputs)
        # The twin is built anew after a prune, with the sizes that it needs then.
        recorder.graph.sizes, recorder.graph.equals = [], []
        recorder.graph.folds = self.native.graph.folds
        return recorder

    @cached_property
    def coupling(self) -> Coupling:
        """The model's own coupled channels, in the twin's graph.

        Raises
        ------
        UnsupportedOperator
            Channels that can go in the model are coupled in another way in the twin.
        """
        return carried_over(self.native, couple(self.recorder.graph), self.module.names)

    def statistic(self, name: str, data: Any, loss: Any, seed: int, foreign: bool) -> Any:
        """As `spa_kernel.frontends.backend.Backend.statistic`."""
        batches = None if data is None else Batches(data, self.model)
        if name in OF_PARAMETERS:
            run: Run = self._run(NamedRun, self.native, batches, loss, seed, foreign)
            return compute(name, run)
        if name in OF_LAYERS:
            found = compute(name, self._run(Run, self.uncoupled, batches, loss, seed, foreign))
            own = {inner: outer for outer, inner in self.module.names.items()}
            return {own[inner]: array for inner, array in found.items()}
        found = compute(name, self._run(Run, self.coupling, batches, loss, seed, foreign))
        return found[..., : self.native.count] if isinstance(found, np.ndarray) else found

    @property
    def uncoupled(self) -> Coupling:
        """The twin's graph, with nothing coupled."""
        none = np.zeros(0, dtype=bool)
        return Coupling(self.recorder.graph, {}, 0, none, {})

    def _run(self, kind: type[Run], coupling: Coupling, *rest: Any) -> Run:
        batches, loss, seed, foreign = rest
        return kind(
            self.module, self.inputs, self.recorder, coupling, counted(batches), loss, seed, foreign
        )

    def synthetic(self, seed: int) -> list[dict[str, np.ndarray]]:
        """Batches of inputs made from the network alone: arrays by the model's names."""
        made = []
        for batch in synthetic(self.module, self.inputs, self.recorder.graph, seed=seed):
            tensors = batch[0] if isinstance(batch, tuple) else (batch,)
            names = [value.name for value in input_infos(self.model)]
            made.append({n: to_array(t) for n, t in zip(names, tensors, strict=True)})
        return made

    def mending(self, data: Any, foreign: bool) -> TwinMending:
        """Get ready for new weights after a prune."""
        return TwinMending(self, data, foreign)


class TwinMending:
    """The twin of a model before a prune, and the batches that it is to be compared on after it.

    Parameters
    ----------
    twin : TorchTwin
    data : iterable
        Batches.
    foreign : bool
        Whether they are not what the network was trained on.
    """

    def __init__(self, twin: TorchTwin, data: Any, foreign: bool) -> None:
        self.twin = twin
        self.pending = Mending(
            twin.module, twin.inputs, twin.recorder, twin.coupling,
            counted(Batches(data, twin.model)), foreign,
        )  # fmt: skip

    def carry_out(
        self, model: onnx.ModelProto, inputs: Any, removed: np.ndarray
    ) -> tuple[dict[str, np.ndarray], list[str]]:
        """The new content of the pruned model's tensors, by name, and what to know of it.

        Parameters
        ----------
        model : onnx.ModelProto
            The model as it is after the prune.
        inputs : as for `TorchTwin`
        removed : numpy.ndarray
            bool, one per label of the model before it.
        """
        pruned = TorchTwin(model, inputs, self.twin.native)
        program = TorchProgram(pruned.module, pruned.recorder, self.pending.dense.graph)
        gone = np.append(removed, False)

        def begin(number: int, dense: State) -> State:
            turn = iter([dense.live[slot] for slot in dense.tape.inputs])
            return program.begin(mapped(self.pending.forms[number], partial(taken, turn)), dense)

        changed = self.pending.beside.reconstruct(program, gone, begin)
        own = {inner: name for name, inner in pruned.module.names.items()}
        found = {own[name]: to_array(program.stored[name]) for name in sorted(changed)}
        return found, self.pending.beside.notes
