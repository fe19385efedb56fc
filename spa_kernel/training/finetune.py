"""A short, plain training loop, for lessons and first looks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spa_kernel import progress
from spa_kernel.errors import DataNeeded, InfeasibleTarget
from spa_kernel.training.batches import modes_kept, module, outputs, repeatable
from spa_kernel.views.rich import Rich

if TYPE_CHECKING:
    import torch

    from spa_kernel.session import Session


@dataclass(slots=True, repr=False)
class Training(Rich):
    """What `finetune` did.

    Attributes
    ----------
    losses : list of float
        Mean loss of each epoch, over its batches; of the last one as far as it came.
    epochs : int
        How many were asked for.
    interrupted : bool
        Whether it was stopped by hand before the end.
    """

    losses: list[float] = field(default_factory=list)
    epochs: int = 1
    interrupted: bool = False

    def __repr__(self) -> str:
        shown = ", ".join(f"{loss:.4g}" for loss in self.losses)
        stopped = ", interrupted" if self.interrupted else ""
        return f"Training(losses [{shown}]{stopped})"


def finetune(
    session: Session,
    data: Any,
    loss: Callable[[Any, Any], torch.Tensor],
    epochs: int = 1,
    optimizer: torch.optim.Optimizer | None = None,
    lr: float = 1e-3,
) -> Training:
    """Train a model for a few epochs, in place: forward, loss, backward, step, and no more.

    An interrupt (Ctrl-C, the stop button) ends the training where it is, and what was trained until
    then is kept. Train and eval modes are afterwards what they were; the
    gradients are cleared.

    Parameters
    ----------
    session : Session or torch.nn.Module
    data : iterable
        Batches ``(inputs, targets)``; a tuple of inputs is passed as positional arguments, a dict
        as keywords. Gone through once per epoch.
    loss : callable
        ``loss(output, targets)``, a scalar.
    epochs : int
    optimizer : torch.optim.Optimizer, optional
        Of the model's parameters; AdamW with learning rate ``lr`` where none is given.
    lr : float
        Learning rate of that AdamW.

    Returns
    -------
    Training
        The mean loss of each epoch.

    Raises
    ------
    InfeasibleTarget
        This is no torch model, nothing in it can be trained, or the optimizer is another model's.
    DataNeeded
        There are no batches, no targets, or the loss is no scalar.
    """
    import torch

    from spa_kernel.surgery.optimizers import check_owner

    model = module(session, "finetune")
    if isinstance(epochs, bool) or not isinstance(epochs, int) or epochs < 1:
        raise InfeasibleTarget(f"epochs={epochs!r}: use a whole number of 1 or more")
    trained = [p for p in model.parameters() if p.requires_grad]
    if not trained:
        raise InfeasibleTarget(
            f"no parameter of {type(model).__name__} can be trained: all have requires_grad=False"
        )
    if optimizer is not None:
        check_owner(optimizer, model)
    data, result = repeatable(data), Training(epochs=epochs)
    steps = optimizer or torch.optim.AdamW(trained, lr=lr)
    with progress.shown(), modes_kept(model), torch.enable_grad():
        model.train()
        try:
            for epoch in range(1, epochs + 1):
                result.losses.append(float("nan"))
                total, phase = 0.0, f"training, epoch {epoch} of {epochs}, batch"
                for number, (output, targets) in enumerate(outputs(session, data, phase), 1):
                    value = _objective(loss, output, targets)
                    steps.zero_grad()
                    value.backward()
                    steps.step()
                    total += float(value.detach())
                    result.losses[-1] = total / number
        except KeyboardInterrupt:
            result.interrupted = True
            print(f"Interrupted in epoch {len(result.losses)} of {epochs}: what was trained stays.")
        finally:
            steps.zero_grad()
    return result


def _objective(loss: Any, output: Any, targets: Any) -> torch.Tensor:
    import torch

    if targets is None:
        raise DataNeeded("training needs targets: give batches of (inputs, targets)")
    value = loss(output, targets)
    if not isinstance(value, torch.Tensor) or value.numel() != 1 or not value.requires_grad:
        raise DataNeeded(
            "loss(output, targets) must return one number that depends on the output, such as "
            f"torch.nn.functional.cross_entropy does, not {type(value).__name__}"
        )
    return value.reshape(())
