"""What a statistic is computed from: the model as it is, and batches of data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.func import functional_call

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling
from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.torch.capture import device_of, seeded, unchanged
from spa_kernel.frontends.torch.passes import Inputs
from spa_kernel.frontends.torch.recorder import Recorder
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
    """A statistic by name; the model is left as it is.

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
    with unchanged(list(run.model.modules())), seeded():
        torch.manual_seed(run.seed)
        return _STATISTICS[name](run)


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
    """

    model: nn.Module
    inputs: Inputs
    recorder: Recorder
    coupling: Coupling
    data: Any
    loss: Any
    seed: int

    def batches(self) -> Iterator[tuple[Any, Any]]:
        """Batches as (inputs, targets), on the model's device; targets may be ``None``.

        Raises
        ------
        DataNeeded
            There is no batch, or no targets where a loss needs them.
        """
        if isinstance(self.data, Iterator):
            # It can be gone through once only, and some statistics need it twice.
            self.data = list(self.data)
        data = (
            [self.data]
            if isinstance(self.data, torch.Tensor | Mapping) or pair(self.data)
            else self.data
        )
        if not isinstance(data, Iterable):
            raise DataNeeded(
                f"data must be an iterable of batches, not {type(self.data).__name__}: a "
                "DataLoader, or a list such as [(inputs, targets)]"
            )
        total = len(data) if hasattr(data, "__len__") else None
        device, number = device_of(self.model)[0], 0
        for number, batch in enumerate(data, 1):
            progress.report("running batches", number, total)
            inputs, targets = split(batch)
            yield moved(inputs, device), moved(targets, device)
        if not number:
            raise DataNeeded("data holds no batch")

    @property
    def count(self) -> int | None:
        """Number of batches, where it is known beforehand."""
        return len(self.data) if hasattr(self.data, "__len__") else None

    @contextmanager
    def parameters(self) -> Iterator[dict[str, torch.Tensor]]:
        """Stand-ins for all parameters, which share their memory and can be differentiated by.

        Neither ``grad`` nor ``requires_grad`` of the model's own tensors is touched.
        """
        fast = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)
        try:
            with torch.enable_grad():
                yield {
                    name: p.detach().requires_grad_(p.dtype.is_floating_point)
                    for name, p in self.model.named_parameters()
                }
        finally:
            torch.backends.mha.set_fastpath_enabled(fast)

    def forward(self, parameters: Mapping[str, torch.Tensor], inputs: Any) -> Any:
        """The model's output with these parameters; its buffers are not written to."""
        buffers = {name: b.clone() for name, b in self.model.named_buffers()}
        args, kwargs = arguments(inputs)
        return functional_call(self.model, {**buffers, **parameters}, args, kwargs)

    def objective(self, output: Any, targets: Any) -> torch.Tensor:
        """The loss of an output, a scalar.

        Raises
        ------
        DataNeeded
            There are no targets, or the loss is no scalar that depends on the output.
        """
        if targets is None:
            raise DataNeeded("the loss needs targets: give batches of (inputs, targets)")
        value = self.loss(output, targets)
        if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
            raise DataNeeded(
                "loss(output, targets) must return one number that depends on the output, not "
                f"{type(value).__name__}"
                + (f" of shape {list(value.shape)}" if isinstance(value, torch.Tensor) else "")
            )
        return value.reshape(())


def pair(data: Any) -> bool:
    """Whether this is one batch ``(inputs, targets)`` rather than batches."""
    return isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], torch.Tensor)


def split(batch: Any) -> tuple[Any, Any]:
    """A batch as inputs and targets; a pair is taken as both, anything else as inputs."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    return batch, None


def moved(value: Any, device: torch.device) -> Any:
    """Tensors in containers, on a device."""
    if isinstance(value, torch.Tensor):
        return value.to(device)
    if isinstance(value, Mapping):
        return {k: moved(v, device) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(moved(v, device) for v in value)
    return value


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs of a batch as positional and keyword arguments."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple):
        return inputs, {}
    return (inputs,), {}
