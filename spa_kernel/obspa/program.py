"""A network as a sequence of operators that runs on many batches side by side.

All batches come to an operator before any goes on, so that what they show there can be summed up
and a weight be changed.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch

from spa_kernel.graph.ir import Graph, Node, Value


@dataclass(slots=True)
class State:
    """How far one batch has come.

    Attributes
    ----------
    tape : Any
        What the program does on this batch.
    live : dict
        The tensors that are still needed, in the program's own names.
    next : int
        Number of the next call.
    """

    tape: Any
    live: dict[Any, torch.Tensor]
    next: int = 0


def copied(state: State) -> State:
    """A state that can go on by itself; tensors that share memory still do."""
    return State(state.tape, deepcopy(state.live), state.next)


class Program(ABC):
    """A network of one framework.

    Attributes
    ----------
    graph : Graph
        Batches may be of another size than the example. Its nodes are named by their positions; in
        a pruned network by those of their like in the network before.
    stored : dict of str to torch.Tensor
        Parameters and buffers; an entry that is replaced is used from then on.
    """

    graph: Graph
    stored: dict[str, torch.Tensor]

    @abstractmethod
    def begin(self, inputs: Any, like: State | None = None) -> State:
        """The state of a batch before the first operator.

        Parameters
        ----------
        inputs : Any
            As a person gives them; not changed.
        like : State, optional
            Of the same batch in a network of the same structure, to go the same way.

        Raises
        ------
        DataNeeded
            The model does not accept the batch, or does something else on it than on the example.
        """

    @abstractmethod
    def run(self, state: State, node: int, *, through: bool) -> None:
        """Carry out what comes before a node, and with ``through`` the node as well."""

    @abstractmethod
    def node(self, state: State, node: int) -> tuple[Node, dict[Value, Node]]:
        """The operator as it works on this batch, and what is made of stored tensors alone."""

    @abstractmethod
    def makers(self, state: State) -> dict[Value, Node]:
        """Which operator makes each value that depends on the batch."""

    @abstractmethod
    def operand(self, state: State, node: int, position: int) -> torch.Tensor | None:
        """What a node reads; ``None`` where it has not been made yet, or is never seen."""

    @abstractmethod
    def result(self, state: State, node: int) -> torch.Tensor | None:
        """What a node made, if it is still there."""

    @abstractmethod
    def outputs(self, state: State) -> list[torch.Tensor]:
        """Carry out all that is left; the network's outputs."""
