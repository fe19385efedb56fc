"""Errors: each says what is wrong, where, and what to do next.

The model is bit for bit what it was when one of them is raised.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spa_kernel.graph.ir import Node


class SpaError(Exception):
    """Base of every error that spa_kernel raises on purpose."""


class CaptureError(SpaError):
    """The model could not be read: not a model, wrong input, or a forward that fails."""


class UnsupportedOperator(SpaError):
    """A request needs an operator that has no relation."""


class InfeasibleTarget(SpaError):
    """The target, group, layer or criterion asked for does not exist or cannot be reached."""


class StaleSession(SpaError):
    """The model was changed from outside since it was analysed."""


class DataNeeded(SpaError):
    """The criterion needs data or a loss that was not given."""


class VerificationFailed(SpaError):
    """The pruned model did not agree with the masked original; the prune was taken back.

    Attributes
    ----------
    nodes : tuple of Node
        The operators of the unpruned graph that could not follow the prune, where known.
    """

    def __init__(self, message: str, nodes: tuple[Node, ...] = ()) -> None:
        super().__init__(message)
        self.nodes = nodes
