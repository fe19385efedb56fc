"""What a statistic is computed from: the model as it is, and batches of data."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.torch.batches import arguments, batches_of, count
from spa_kernel.frontends.torch.capture import seeded, shapes, unchanged, uncompiled
from spa_kernel.frontends.torch.passes import Inputs
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.frontends.torch.statistics.kept import Kept
from spa_kernel.importance.needs import STATISTICS

Compute = Callable[["Run"], Any]

_STATISTICS: dict[str, Compute] = {}


def statistic(name: str) -> Callable[[Compute], Compute]:
    """Register the torch way to a statistic of `spa_kernel.importance.needs`."""
    assert name in STATISTICS, name

    def register(function: Compute) -> Compute:
        _STATISTICS[name] = function
        return function

    return register


def compute(name: str, run: Run) -> Any:
    """A statistic by name; the model is left as it is, also after an error.

    Raises
    ------
    DataNeeded
    """
    asks = STATISTICS[name].asks
    if asks != "nothing" and run.data is None:
        kind = "(inputs, targets)" if asks == "labels" else "inputs, or (inputs, targets)"
        raise DataNeeded(f"{name} needs data: give data=, an iterable of batches of {kind}")
    if asks == "labels" and run.loss is None:
        raise DataNeeded(
            f"{name} needs a loss: give loss=, such as torch.nn.functional.cross_entropy"
        )
    run.kept = Kept(run.model)
    with unchanged(list(run.model.modules())), run.kept, seeded(), uncompiled(), plain_attention():
        return _STATISTICS[name](run)


@contextmanager
def plain_attention() -> Iterator[None]:
    """Attention layers as they are written: their fused shortcut has no gradient and no hooks."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


@dataclass
class Run:
    """The model, what is known of it, and the data that it is to be run on.

    Attributes
    ----------
    model : torch.nn.Module
        Runs in the mode (train or eval) that it is in: batch statistics where it is in training,
        as before a first training they must be.
    inputs : tuple
        The example inputs (args, kwargs).
    recorder : Recorder
        The recording that the coupling was made from.
    coupling : Coupling
    data : iterable
        Batches.
    loss : callable
    seed : int
    foreign : bool
        Whether the data is not what the model was trained on.
    kept : Kept
        The model's content, put back after every batch; there while a statistic is computed.
    """

    model: nn.Module
    inputs: Inputs
    recorder: Recorder
    coupling: Coupling
    data: Any
    loss: Any
    seed: int
    foreign: bool = False
    kept: Kept = field(init=False, repr=False)

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Copies of the batches as (inputs, targets), on the model's device.

        As `spa_kernel.frontends.torch.batches.batches_of`. Each batch meets the model as it was at
        the start, and random numbers are the same each time.

        Raises
        ------
        DataNeeded
            There is no batch, or an empty one.
        """
        # Dropout, shuffles and augmentation draw from any of these.
        torch.manual_seed(self.seed)
        np.random.seed(self.seed % 2**32)
        random.seed(self.seed)
        several = len(self.inputs[0]) > 1
        for batch in batches_of(self.data, self.model, "running batches", several=several):
            yield batch
            self.kept.restore()

    @property
    def count(self) -> int | None:
        """Number of batches, where it is known beforehand."""
        return count(self.data)

    def again(self) -> None:
        """The data will be gone through more than once: what a generator yields is kept."""
        if isinstance(self.data, Iterator):
            self.data = list(self.data)

    @contextmanager
    def parameters(self) -> Iterator[dict[str, nn.Parameter]]:
        """The floating point parameters, frozen ones too; meanwhile each can be differentiated by.

        Names are those of the coupling's graph.
        """
        found = {n: p for n, p in self.model.named_parameters() if p.dtype.is_floating_point}
        frozen = [p for p in found.values() if not p.requires_grad]
        try:
            for p in frozen:
                p.requires_grad_(True)
            with torch.inference_mode(False), torch.enable_grad():
                yield found
        finally:
            for p in frozen:
                p.requires_grad_(False)

    def forward(self, inputs: Any) -> Any:
        """The model's output for the inputs of a batch.

        Raises
        ------
        DataNeeded
            The model does not accept them.
        """
        args, kwargs = arguments(inputs)
        try:
            return self.model(*args, **kwargs)
        except Exception as error:
            raise DataNeeded(
                f"the forward of {type(self.model).__name__} fails on a batch of shape "
                f"{shapes((args, kwargs))}: {type(error).__name__}: {error}. Give batches "
                "whose inputs the model accepts"
            ) from error

    def objective(self, output: Any, targets: Any) -> torch.Tensor:
        """The loss of an output, a scalar.

        Raises
        ------
        DataNeeded
            There are no targets, the loss fails, or it is no scalar that depends on the output.
        """
        if targets is None:
            raise DataNeeded("the loss needs targets: give batches of (inputs, targets)")
        try:
            value = self.loss(output, targets)
        except Exception as error:
            raise DataNeeded(
                f"loss(output, targets) fails: {type(error).__name__}: {error}. Give a loss and "
                "targets that fit the model's output"
            ) from error
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
            raise DataNeeded(
                "loss(output, targets) must return one number that depends on the output, not "
                f"{type(value).__name__}"
                + (f" of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else "")
            )
        return value.reshape(())


def wide(tensor: torch.Tensor) -> torch.Tensor:
    """In single precision at least."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))
