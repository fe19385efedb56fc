"""Structured pruning of neural networks, inside the notebook.

>>> import spa_kernel as spa
>>> session = spa.analyze(model, (1, 3, 224, 224))  # doctest: +SKIP
>>> report = session.prune(criterion="l1", flops=2.0)  # doctest: +SKIP
>>> session.undo()  # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spa_kernel.errors import (
    CaptureError,
    DataNeeded,
    InfeasibleTarget,
    SpaError,
    StaleSession,
    UnsupportedOperator,
    VerificationFailed,
)
from spa_kernel.importance import criteria, criterion
from spa_kernel.plan import Plan
from spa_kernel.session import Report, Session, analyze, load, measure
from spa_kernel.studies import sensitivity, sweep
from spa_kernel.training import finetune, recalibrate, sparsity

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

__version__ = "0.1.0"

__all__ = [
    "CaptureError",
    "DataNeeded",
    "InfeasibleTarget",
    "Plan",
    "Report",
    "Session",
    "SpaError",
    "StaleSession",
    "UnsupportedOperator",
    "VerificationFailed",
    "analyze",
    "criteria",
    "criterion",
    "finetune",
    "load",
    "measure",
    "recalibrate",
    "sensitivity",
    "sparsity",
    "sweep",
    "traced",
]


def traced(model: Any) -> Any:
    """A copy of a torch module in which sizes that are written in the code can follow a prune.

    See `spa_kernel.frontends.torch.traced.traced`; a last resort, where `Session.frozen` says
    that a size written in the code holds channels.
    """
    from spa_kernel.frontends.torch.traced import traced

    return traced(model)


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magics to IPython: ``%load_ext spa_kernel``."""
    from spa_kernel import magics

    magics.load_ipython_extension(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Take the magics away again."""
    from spa_kernel import magics

    magics.unload_ipython_extension(shell)
