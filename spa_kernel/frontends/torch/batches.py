"""Batches as a person gives them, for a torch module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import nn

from spa_kernel import progress
from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.torch.capture import device_of, tensors_in
from spa_kernel.frontends.torch.passes import Inputs, mapped, twice
from spa_kernel.obspa.inputs import SIZE


def batches_of(
    data: Any, model: nn.Module, phase: str, *, several: bool = False
) -> Iterator[tuple[Any, Any]]:
    """Copies of the batches as (inputs, targets), on the model's device, with progress.

    A batch that is a dict stands for both: all of it goes to the model as keywords, and to the
    loss as targets. Otherwise targets are ``None`` where a batch has none.

    Parameters
    ----------
    data : iterable
        Batches, or a single one.
    model : torch.nn.Module
    phase : str
        What progress is reported as.
    several : bool
        Whether the model takes several inputs, of which a DataLoader makes a list.

    Raises
    ------
    DataNeeded
        These are no batches, there is none, or an empty one.
    """
    if not isinstance(data, Iterable):
        raise DataNeeded(
            f"data must be an iterable of batches, not {type(data).__name__}: a DataLoader, or a "
            "list such as [(inputs, targets)]"
        )
    data = [data] if one(data) else data
    device, number, total = device_of(model)[0], 0, count(data)
    for number, batch in enumerate(data, 1):
        progress.report(phase, number, total)
        inputs, targets = split(batch)
        tensors = tensors_in(inputs)
        if tensors and not any(t.numel() for t in tensors):
            raise DataNeeded(f"batch {number} of the data is empty")
        if several and isinstance(inputs, list):
            inputs = tuple(inputs)
        yield moved(inputs, device), moved(targets, device)
    if not number:
        raise DataNeeded(
            "data holds no batch: give a list or a DataLoader (a generator can be gone through "
            "only once)"
        )


def one(data: Any) -> bool:
    """Whether this is one batch (a tensor, a dict, or ``(inputs, targets)``) and not batches."""
    pair = isinstance(data, tuple) and len(data) == 2 and isinstance(data[1], torch.Tensor)
    return pair or isinstance(data, torch.Tensor | Mapping)


def count(data: Any) -> int | None:
    """Number of batches, where it is known beforehand."""
    try:
        return 1 if one(data) else len(data)
    except TypeError:
        return None


def split(batch: Any) -> tuple[Any, Any]:
    """A batch as inputs and targets; a pair is taken as both, a dict stands for both."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    return batch, batch if isinstance(batch, Mapping) else None


def parts(inputs: Any, example: Inputs) -> Iterator[Any]:
    """A batch in pieces of at most `SIZE` samples, where all tensors have as many.

    Parameters
    ----------
    inputs : Any
        As a person gives them.
    example : tuple
        The inputs (args, kwargs) that the model was analysed with.
    """
    tensors = tensors_in(inputs)
    lengths = {len(t) if t.ndim else 0 for t in tensors}
    total = lengths.pop() if len(lengths) == 1 else 0
    if total <= SIZE or twice(example) is example:
        yield inputs
        return
    for start in range(0, total, SIZE):
        yield mapped(inputs, itemgetter(slice(start, start + SIZE)))


def moved(value: Any, device: torch.device) -> Any:
    """Copies of tensors in containers, on a device: a forward may write into its inputs."""
    if isinstance(value, torch.Tensor):
        return value.detach().to(device, copy=True)
    if isinstance(value, Mapping):
        return {k: moved(v, device) for k, v in value.items()}
    if isinstance(value, list | tuple):
        make = getattr(type(value), "_make", type(value))
        return make(moved(v, device) for v in value)
    return value


def arguments(inputs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs of a batch as positional and keyword arguments."""
    if isinstance(inputs, Mapping):
        return (), dict(inputs)
    if isinstance(inputs, tuple):
        return inputs, {}
    return (inputs,), {}
