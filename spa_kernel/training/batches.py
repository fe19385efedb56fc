"""A model and the batches that it is run on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from spa_kernel import progress
from spa_kernel.errors import DataNeeded, InfeasibleTarget

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


class Batches:
    """Batches for a model, on its device, with progress; can be gone through more than once.

    Parameters
    ----------
    session_or_model : Session or torch.nn.Module
    data : iterable
        Batches ``(inputs, targets)``, or inputs alone. A tuple of inputs is passed as positional
        arguments, a dict as keywords; a batch that is a dict stands for inputs and targets.

    Raises
    ------
    DataNeeded
        These are no batches; or, when gone through, there is none.
    """

    def __init__(self, session_or_model: Any, model: nn.Module, data: Any) -> None:
        from spa_kernel.frontends.torch.statistics.run import one

        if not isinstance(data, Iterable):
            raise DataNeeded(
                f"data must be an iterable of batches, not {type(data).__name__}: a DataLoader, "
                "or a list such as [(inputs, targets)]"
            )
        data = [data] if one(data) else data
        self.data = list(data) if isinstance(data, Iterator) else data
        self.model = model
        backend = getattr(session_or_model, "backend", None)
        self.several = backend is not None and len(backend.inputs[0]) > 1
        """Whether the model takes several inputs, which a DataLoader makes a list of."""

    def outputs(self, phase: str) -> Iterator[tuple[Any, Any]]:
        """For each batch the model's output, and the targets or ``None``."""
        from spa_kernel.frontends.torch.capture import device_of
        from spa_kernel.frontends.torch.statistics.run import arguments, moved, split

        total = len(self.data) if hasattr(self.data, "__len__") else None
        device, number = device_of(self.model)[0], 0
        for number, batch in enumerate(self.data, 1):
            inputs, targets = split(batch)
            if self.several and isinstance(inputs, list):
                inputs = tuple(inputs)
            args, kwargs = arguments(moved(inputs, device))
            yield self.model(*args, **kwargs), moved(targets, device)
            progress.report(phase, number, total)
        if not number:
            raise DataNeeded("data holds no batch")
