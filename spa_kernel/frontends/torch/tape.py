"""A forward as a list of calls that can be made again, one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import nn
from torch._ops import OpOverload

from spa_kernel.frontends.torch.attributes import stored_tensors
from spa_kernel.frontends.torch.decisions import Decisions
from spa_kernel.frontends.torch.filled import Filled
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.frontends.torch.views import Views
from spa_kernel.graph.ir import Node, Value
from spa_kernel.products.uses import PRODUCTS
from spa_kernel.products.ways import from_weights

LAYOUT = frozenset("Identity Reshape Expand Transpose".split())
"""Operators that come and go with the layout of tensors in memory, and so with the batch size."""


class Slot(NamedTuple):
    """Stands for a tensor that an earlier call made, or an input."""

    number: int


class Stored(NamedTuple):
    """Stands for a parameter or buffer."""

    name: str


class Step(NamedTuple):
    """One call, and the slots that its results go to."""

    func: Any
    args: Any
    kwargs: Any
    outs: list[int | None]


class Tape(Recorder):
    """A recording that keeps every call.

    Parameters
    ----------
    model : torch.nn.Module
    real : bool
    decisions : Decisions, optional

    Attributes
    ----------
    steps : list of Step
    inputs, outputs : list of int
        The slots of the inputs, in order, and of the outputs.
    nodes : dict of int to Node
        Its own nodes by the positions that their like have in another recording.
    made, makers : dict of Value to Node
        Who makes what is worked out from stored tensors alone, and who all else.
    ends : dict of int to list of int
        For each step the slots that no later one needs.
    anew : dict of int to (int, int)
        Slots that hold what is worked out from stored tensors alone, such as a kernel's transpose:
        the step that makes them and which of its results they are. They are worked out whenever
        they are read, as the stored tensors may have changed meanwhile.
    """

    def __init__(self, model: nn.Module, real: bool, decisions: Decisions | None = None) -> None:
        self.steps: list[Step] = []
        self.inputs: list[int] = []
        self.outputs: list[int] = []
        self.nodes: dict[int, Node] = {}
        self.made: dict[Value, Node] = {}
        self.makers: dict[Value, Node] = {}
        self.ends: dict[int, list[int]] = {}
        self.anew: dict[int, tuple[int, int]] = {}
        self._slots: dict[int, int] = {}
        self._held: list[torch.Tensor] = []
        self._births: dict[Value, tuple[int, int]] = {}
        self._written: dict[int, list[int]] = {}
        self._calls: dict[Node, int] = {}
        self._names = {id(t): name for _, name, t in stored_tensors(model)}
        super().__init__(model, real, decisions)

    def add_input(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        twin = super().add_input(name, tensor)
        slot = self._slots[id(twin)] = len(self._slots)
        self._held.append(twin)
        self.inputs.append(slot)
        self._births[self._values[id(twin)]] = slot, -1
        self._written[slot] = [-1]
        return twin

    def know(self, tensor: torch.Tensor, value: Value) -> None:
        super().know(tensor, value)
        self._born(tensor, value)

    def called(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        self._note(func, self._template(args), self._template(kwargs), result)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Some calls return the very tensor that they are given.
        given = self._template(args), self._template(kwargs or {})
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self._note(func, *given, result)
        return result

    def _note(self, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        results = result if isinstance(result, tuple | list) else [result]
        outs = [self._slot(t) if isinstance(t, torch.Tensor) else None for t in results]
        self.steps.append(Step(func, args, kwargs, outs))

    def _append(self, node: Node, arguments: tuple[Any, ...]) -> None:
        super()._append(node, arguments)
        self._calls[node] = len(self.steps)

    def _write(self, tensor: torch.Tensor, new: Value, called: str) -> None:
        super()._write(tensor, new, called)
        for one in (tensor, *(view.parent for view in self._views.chain(tensor))):
            self._born(one, self._values[id(one)])

    def _slot(self, tensor: torch.Tensor) -> int | None:
        if id(tensor) in self._names:
            return None
        known = self._slots.get(id(tensor))
        if known is None:
            known = self._slots[id(tensor)] = len(self._slots)
            # Its identity must not be given to another one.
            self._held.append(tensor)
        return known

    def _born(self, tensor: torch.Tensor, value: Value) -> None:
        """From this step on a tensor holds a value."""
        slot = self._slot(tensor)
        if slot is not None and value not in self._births:
            self._births[value] = slot, len(self.steps)
            self._written.setdefault(slot, []).append(len(self.steps))

    def _template(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            name, slot = self._names.get(id(value)), self._slots.get(id(value))
            return Stored(name) if name else value if slot is None else Slot(slot)
        if isinstance(value, Mapping):
            return {k: self._template(v) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self._template(v) for v in value]
        if isinstance(value, int) and not isinstance(value, bool):
            return int(value)
        return value

    def close(self, like: list[Node]) -> bool:
        """The recording is complete: let go of tensors, and see whether it is like another one.

        Parameters
        ----------
        like : list of Node
            Of a recording of the same model on inputs of another size.
        """
        own, others = list(lasting(self.graph.nodes)), list(lasting(like))
        self.nodes = {i: self.graph.nodes[j] for (_, i), (_, j) in zip(others, own, strict=False)}
        self.made = from_weights(self.graph.nodes)
        self.makers = {
            value: node
            for node in self.graph.nodes
            for value in node.outputs
            if value not in self.made
        }
        last = {s: i for i, step in enumerate(self.steps) for s in step.outs if s is not None}
        for i, step in enumerate(self.steps):
            last.update(dict.fromkeys(slots((step.args, step.kwargs)), i))
        self.anew = anew(self.steps)
        outputs = [self._births.get(value) for value in self.graph.outputs]
        self.outputs = [born[0] for born in outputs if born is not None]
        for slot, number in last.items():
            if slot not in self.outputs:
                self.ends.setdefault(number, []).append(slot)
        kept = self._held, self._alive, self._slots, self._values, self._twins, self._copies
        for holding in (*kept, self._arguments):
            holding.clear()
        self._views, self.filled = Views(), Filled()
        return [op for op, _ in own] == [op for op, _ in others]

    def step(self, node: int) -> int:
        """The step that carries a node out, by its position in the other recording."""
        return self._calls[self.nodes[node]]

    def slot(self, value: Value, after: int) -> int | None:
        """Where a value lies when so many steps have been made; ``None`` where it does not."""
        slot, born = self._births.get(value, (None, 0))
        if slot is None or born >= after or any(born < w < after for w in self._written[slot]):
            return None
        return slot


def lasting(nodes: list[Node]) -> Iterator[tuple[str, int]]:
    """The operators that are there for inputs of every size, with their positions.

    A product with a bias is one operator or two, as inputs lie in memory.
    """
    made = from_weights(nodes)
    for i, node in enumerate(nodes):
        operands = [v for v in node.inputs if v is not None]
        weights = any(v.stored or v in made for v in operands)
        if node.op in LAYOUT or made.keys() >= {*node.outputs} or (node.op == "Add" and weights):
            continue
        yield "product" if node.op in PRODUCTS else node.op, i


def anew(steps: list[Step]) -> dict[int, tuple[int, int]]:
    """Which slots hold what is worked out from stored tensors alone, see `Tape`."""
    banned = set[str]()
    while True:
        found: dict[int, tuple[int, int]] = {}
        origins: dict[int, set[str]] = {}
        written = set[str]()
        for number, step in enumerate(steps):
            read = list(operands((step.args, step.kwargs)))
            names = {r.name for r in read if isinstance(r, Stored)}
            for r in read:
                if isinstance(r, Slot):
                    names |= origins.get(r.number, set())
            if writes(step.func):
                # What a call writes into is not what it was before, nor is what shares its memory.
                written |= names
                continue
            known = all(isinstance(r, Stored) or r.number in found for r in read)
            if read and known and repeats(step.func) and not names & banned:
                for position, slot in enumerate(step.outs):
                    if slot is not None:
                        found[slot], origins[slot] = (number, position), names
        if not written - banned:
            return found
        banned |= written


def writes(func: Any) -> bool:
    return isinstance(func, OpOverload) and func._schema.is_mutable


def repeats(func: Any) -> bool:
    """Whether a call gives the same whenever it is made."""
    return isinstance(func, OpOverload) and torch.Tag.nondeterministic_seeded not in func.tags


def slots(value: Any) -> Iterator[int]:
    """The slots in a call's arguments."""
    return (found.number for found in operands(value) if isinstance(found, Slot))


def operands(value: Any) -> Iterator[Slot | Stored]:
    """The tensors in a call's arguments, but for constants."""
    if isinstance(value, Slot | Stored):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from operands(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from operands(inner)
