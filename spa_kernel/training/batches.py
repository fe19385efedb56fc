"""A model and the batches that it is run on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spa_kernel.errors import InfeasibleTarget

if TYPE_CHECKING:
    from torch import nn


def module(session_or_model: Any, what: str) -> nn.Module:
    """The torch module of a session, or the module itself.

    Raises
    ------
    InfeasibleTarget
    """
    from torch import nn

    model = getattr(session_or_model, "model", session_or_model)
    if isinstance(session_or_model, nn.Module):
        model = session_or_model
    if not isinstance(model, nn.Module):
        raise InfeasibleTarget(
            f"{what} needs a torch module, or the session of one, not {type(model).__name__}"
        )
    return model


@contextmanager
def modes_kept(model: nn.Module) -> Iterator[None]:
    """Each module is put back into train or eval mode as it was."""
    before = [(part, part.training) for part in model.modules()]
    try:
        yield
    finally:
        for part, mode in before:
            part.training = mode


def repeatable(data: Any) -> Any:
    """Data that can be gone through more than once: what a generator yields is kept."""
    return list(data) if isinstance(data, Iterator) else data


def outputs(session_or_model: Any, data: Any, phase: str) -> Iterator[tuple[Any, Any]]:
    """For each batch the model's output, and the targets or ``None``; with progress.

    Parameters
    ----------
    session_or_model : Session or torch.nn.Module
    data : iterable
        Batches ``(inputs, targets)``, or inputs alone. A tuple of inputs is passed as positional
        arguments, a dict as keywords; a batch that is a dict stands for inputs and targets.
    phase : str
        What progress is reported as.

    Raises
    ------
    DataNeeded
        These are no batches, there is none, or an empty one.
    """
    from spa_kernel.frontends.torch.batches import arguments, batches_of

    model, backend = module(session_or_model, phase), getattr(session_or_model, "backend", None)
    several = backend is not None and len(backend.inputs[0]) > 1
    for inputs, targets in batches_of(data, model, phase, several=several):
        args, kwargs = arguments(inputs)
        yield model(*args, **kwargs), targets
