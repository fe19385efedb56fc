"""What a search for exponents knows, with a way back."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from spa_kernel.coupling.exponents import Exponents
from spa_kernel.graph.factors import Multiplied, Tied
from spa_kernel.graph.ir import Node, Value

Key = tuple[int, int]
"""A relation: the place of its node in the graph, and which of the node's it is."""

Turn = tuple[int, int]
"""When an open relation is to be settled: lower ones first."""


@dataclass(eq=False, slots=True)
class State:
    """What is known of the exponents, and what must be looked at."""

    turn: Callable[[State, Key, Multiplied | Tied], Turn]
    known: dict[Value, Exponents] = field(default_factory=dict)
    open: dict[Key, Multiplied | Tied] = field(default_factory=dict)
    """Products, and operators that are off, that are not settled."""
    queue: dict[Node, None] = field(default_factory=dict)
    log: list[tuple[dict[Any, Any], Any, Any]] = field(default_factory=list)
    """How to go back: table, key, and what was there before."""
    _heap: list[tuple[Turn, Key]] = field(default_factory=list)
    """The open ones by their turn, with outdated entries among them."""

    def put(self, table: dict[Any, Any], key: Any, new: Any) -> None:
        """Change an entry; ``None`` takes it out."""
        old = table.get(key)
        if old is not new:
            self.log.append((table, key, old))
            enter(table, key, new)

    def back(self, mark: int) -> None:
        """Undo all changes but the first ``mark``."""
        self.queue.clear()
        if len(self.log) > mark:
            while len(self.log) > mark:
                enter(*self.log.pop())
            self._heap = [(self.turn(self, k, r), k) for k, r in self.open.items()]
            heapq.heapify(self._heap)

    def wait(self, key: Key, relation: Multiplied | Tied) -> None:
        """Leave a relation open, to be settled in its turn."""
        self.put(self.open, key, relation)
        heapq.heappush(self._heap, (self.turn(self, key, relation), key))

    def next(self) -> Key | None:
        """The relation to settle next."""
        while self._heap:
            turn, key = heapq.heappop(self._heap)
            relation = self.open.get(key)
            if relation is not None and turn == self.turn(self, key, relation):
                return key
        return None


def enter(table: dict[Any, Any], key: Any, new: Any) -> None:
    """Set an entry of a table, or take it out."""
    if new is None:
        table.pop(key, None)
    else:
        table[key] = new
