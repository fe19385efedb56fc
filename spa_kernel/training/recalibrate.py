"""BatchNorm statistics estimated anew, for a network whose channels have changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spa_kernel import progress
from spa_kernel.training.batches import modes_kept, module, outputs

if TYPE_CHECKING:
    import torch


def recalibrate(session: Any, data: Any) -> int:
    """Estimate the running statistics of all BatchNorm layers anew; no weight is changed.

    The means and variances become plain averages over the batches, with all other layers in eval
    mode. After a prune the old statistics are those of inputs that no longer come. An undo of the
    session brings the old ones back.

    Parameters
    ----------
    session : Session or torch.nn.Module
    data : iterable
        Batches of inputs, or ``(inputs, targets)``; targets are not looked at.

    Returns
    -------
    int
        How many layers have new statistics; those that the forward does not use keep the old.

    Raises
    ------
    InfeasibleTarget
        This is no torch model.
    DataNeeded
        There are no batches. After this or any other error, and after an interrupt, the old
        statistics are in place.
    """
    import torch
    from torch.nn.modules.batchnorm import _BatchNorm

    model = module(session, "recalibrate")
    norms = [
        part
        for part in model.modules()
        if isinstance(part, _BatchNorm) and part.num_batches_tracked is not None
    ]
    if not norms:
        return 0
    before = [(norm, norm.momentum, [b.clone() for b in _statistics(norm)]) for norm in norms]
    used: list[_BatchNorm] = []
    with progress.shown(), modes_kept(model), torch.no_grad():
        model.eval()
        try:
            for norm in norms:
                norm.reset_running_stats()
                # A cumulative average; the layer counts the batches.
                norm.training, norm.momentum = True, None
            for _ in outputs(session, data, "recalibrating, batch"):
                pass
            used = [norm for norm in norms if norm.num_batches_tracked]
        finally:
            for norm, momentum, old in before:
                norm.momentum = momentum
                present = _statistics(norm)
                # The count is as before in any case; all else where the layer saw no batch.
                for buffer, content in list(zip(present, old, strict=True))[2 * (norm in used) :]:
                    buffer.copy_(content)
    return len(used)


def _statistics(norm: Any) -> list[torch.Tensor]:
    return [norm.running_mean, norm.running_var, norm.num_batches_tracked]
