"""Find the weights that can take up a factor.

After a prune an operator may be off by a factor: an attention scale or a mean that is worked
out from a size. Some stored entries are then to be multiplied by powers of that factor, such
that everything else, the network's outputs first of all, is what it was. That is a system of
equations between exponents (`spa_kernel.graph.factors`): what follows from what is known is
filled in, and where a product leaves it open which operand takes the factor, each is tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Set
from math import prod

import numpy as np

from spa_kernel.coupling.exponents import (
    ROOM,
    UNIT,
    UNKNOWN,
    Conflict,
    Exponents,
    axis_names,
    full,
    narrow,
    nonzero,
    placed,
    small,
    spread,
    uniform,
    unstretched,
    zeros,
)
from spa_kernel.coupling.shifted import shifts
from spa_kernel.coupling.trail import Key, State, Turn
from spa_kernel.graph.factors import (
    FLOATS,
    Moved,
    Multiplied,
    Relation,
    Tied,
    Unscaled,
)
from spa_kernel.graph.ir import Graph, Node, Value
from spa_kernel.graph.ops_factors import relations

TRIES = 200
"""Contradictions after which the search gives up."""

AT_ONCE = 2**14
"""Entries of a value that are moved one by one before there is need."""

Option = dict[Value, Exponents]


class Folding:
    """Finds the stored entries that take up a factor, in one graph.

    Parameters
    ----------
    graph : Graph
    off : iterable of Node
        Operators that will be asked for; others may be, but it takes longer.
    """

    def __init__(self, graph: Graph, off: Iterable[Node] = ()) -> None:
        self.nodes = graph.nodes
        self.order = {node: i for i, node in enumerate(graph.nodes)}
        self.made = {out: node for node in graph.nodes for out in node.outputs}
        self.users: dict[Value, list[Node]] = {}
        self.fixed = set(graph.outputs)
        statistics: set[Value | None] = set()
        self.weights: set[Value] = set()
        """Values that are made from stored numbers alone."""
        for node in graph.nodes:
            operands = [v for v in dict.fromkeys(node.inputs) if v is not None]
            for operand in operands:
                self.users.setdefault(operand, []).append(node)
            made = [v for v in operands if v.kind != "constant"]
            if made and all(v.stored or v in self.weights for v in made):
                self.weights.update(node.outputs)
            if node.op == "BatchNormalization":
                statistics.add(node.inputs[3])
        # A buffer is the program's own table, such as a mask, unless it goes with a weight.
        self.scalable = {
            v
            for v in graph.stored.values()
            if v.dtype in FLOATS and (v.kind == "parameter" or v in statistics)
        }
        self.offsets, self._shifted = shifts(self.scalable - self.fixed, self.users)
        self._relations: dict[Node, list[Relation] | None] = {}
        self.reached: dict[Value, np.ndarray] = {}
        """What `solve` found last for values that are worked out, as for stored ones."""
        self._off = set(off)
        self._base: Option | None = None
        """What no factor can reach, whichever of the operators in ``_off`` are off."""
        self._roots: set[int] = set()
        """Identities of the relations that are off."""

    def solve(self, *places: tuple[Node, int]) -> dict[str, np.ndarray] | None:
        """Exponents of stored tensors that make up for a factor.

        Parameters
        ----------
        places : (Node, int)
            Operators that are off by the same factor: what each should compute is the factor
            times what it does. The number is one of its operands where only that one is off,
            `MAIN` for its result.

        Returns
        -------
        dict of str to numpy.ndarray, or None
            By name, float64 arrays that broadcast to the tensor's shape: each entry is to be
            multiplied by the factor to this power, a whole or half number. A tensor in
            ``offsets`` first takes that number added to it, and loses it again in the end.
            ``None`` where there is no such set.
        """
        roots: set[int] = set()
        for node, slot in places:
            own = [r for r in self._of(node) or () if getattr(r, "slot", None) == slot]
            if not own:
                return None
            roots.add(id(own[0]))
        nodes = {node for node, _ in places}
        if self._base is None or not nodes <= self._off:
            self._off |= nodes
            self._base = self._unreached()
        self._roots = roots
        state = State(self._turn, queue=dict.fromkeys(node for node, _ in places))
        found = self._search(state)
        self._roots = set()
        if not found:
            return None
        powers = {
            v: np.where(a == UNKNOWN, 0, a) / UNIT for v, a in state.known.items() if nonzero(a)
        }
        self.reached = {v: a for v, a in powers.items() if not v.stored}
        return {v.name: a for v, a in powers.items() if v.stored}

    def _of(self, node: Node) -> list[Relation] | None:
        if node not in self._relations:
            known = self._shifted.get(node)
            self._relations[node] = relations(node) if known is None else [known]
        return self._relations[node]

    def _unreached(self) -> Option:
        """Values that cannot be scaled, and what follows from that."""
        state, self._base = State(self._turn), {}
        for value in (*self.made, *self.users):
            if value in self.fixed or (value not in self.made and value not in self.scalable):
                self._base[value] = zeros(value)
        for node in self.nodes:
            known = self._of(node)
            if known is None:
                held = [v for v in (*node.inputs, *node.outputs) if v is not None]
            else:
                held = [r.value for r in known if isinstance(r, Unscaled)]
            self._base.update((v, zeros(v)) for v in held)
        state.queue = dict.fromkeys(reversed(self.nodes))
        # Nothing but zeros is known yet, so nothing contradicts it.
        self._propagate(state, self._off, AT_ONCE)
        return self._base | state.known

    def _search(self, state: State) -> bool:
        """Depth first: what is forced, then one choice after the other."""
        choices: list[tuple[int, Key, Iterator[Option]]] = []
        left = TRIES
        while True:
            try:
                self._propagate(state)
                key = state.next()
                if key is None:
                    return True
                options = iter(list(self._options(state, state.open[key])))
                choices.append((len(state.log), key, options))
            except Conflict:
                left -= 1
            while True:
                if not choices or left < 0:
                    return False
                mark, key, options = choices[-1]
                state.back(mark)
                option = next(options, None)
                if option is None:
                    choices.pop()
                    continue
                state.put(state.open, key, None)
                state.queue[self.nodes[key[0]]] = None
                try:
                    for value, exponents in option.items():
                        self._assign(state, value, exponents)
                    break
                except Conflict:
                    left -= 1

    def _propagate(self, state: State, without: Set[Node] = frozenset(), room: int = ROOM) -> None:
        while state.queue:
            node, _ = state.queue.popitem()
            if node in without:
                continue
            known = self._of(node)
            for i, relation in enumerate(known or ()):
                key = self.order[node], i
                match relation:
                    case Tied():
                        self._tie(state, key, relation)
                    case Moved(_, source, _, back):
                        if back is not None or prod(source.shape) <= room:
                            self._move(state, relation)
                    case Multiplied():
                        self._multiply(state, key, relation)

    def _get(self, state: State, value: Value) -> Exponents | None:
        """What is known of a value's exponents."""
        known = state.known.get(value)
        return self._base.get(value) if known is None and self._base else known

    def _assign(self, state: State, value: Value, new: Exponents) -> None:
        """Add to what is known of a value; nodes around it follow."""
        old = self._get(state, value)
        if old is not None and old.size == new.size == 1 and old.item() == new.item():
            return
        if old is not None:
            both = (old != UNKNOWN) & (new != UNKNOWN)
            if (both & (old != new)).any():
                raise Conflict
            if not ((old == UNKNOWN) & (new != UNKNOWN)).any():
                return
            new = np.where(old == UNKNOWN, new, old)
        elif (new == UNKNOWN).all():
            return
        new = unstretched(new)
        if prod(new.shape) > ROOM:
            raise Conflict
        state.put(state.known, value, new)
        made = self.made.get(value)
        for node in (*([made] if made else []), *self.users.get(value, ())):
            state.queue[node] = None

    def _shift(self, relation: Relation) -> int:
        return -UNIT if id(relation) in self._roots else 0

    def _turn(self, state: State, key: Key, relation: Multiplied | Tied) -> Turn:
        """When an open relation is to be settled.

        Operators that are off come first, then products whose result is known, from the last
        one made to the first: then all that the factor is wanted for is known. After them
        those whose operands are.
        """
        if isinstance(relation, Tied) or self._shift(relation):
            return 0, -key[0]
        result = state.known.get(relation.terms[0].value)
        return (2, key[0]) if result is None or not nonzero(result) else (1, -key[0])

    def _tie(self, state: State, key: Key, relation: Tied) -> None:
        """``out = degree * source + shift``."""
        out, source, shift = relation.out, relation.source, self._shift(relation)
        there, here = self._get(state, out), self._get(state, source)
        if there is None and here is None:
            if shift:
                state.wait(key, relation)
            return
        state.put(state.open, key, None)
        if here is not None:
            own = uniform(here, {i for _, i in relation.pairs}).astype(np.int16)
            scaled = np.where(own == UNKNOWN, UNKNOWN, relation.degree * own + shift)
            self._assign(state, out, spread(scaled, source, out, relation.pairs))
        if there is not None:
            own = uniform(there, {i for i, _ in relation.pairs}).astype(np.int16)
            whole = (own != UNKNOWN) & ((own - shift) % relation.degree != 0)
            if whole.any():
                raise Conflict
            scaled = np.where(own == UNKNOWN, UNKNOWN, (own - shift) // relation.degree)
            pairs = tuple((j, i) for i, j in relation.pairs)
            self._assign(state, source, spread(scaled, out, source, pairs))

    def _move(self, state: State, relation: Moved) -> None:
        out, source = relation.out, relation.source
        there, here = self._get(state, out), self._get(state, source)
        if relation.back is not None:
            # All entries go along, so those of one kind are to be found everywhere.
            for known, other, move in (
                (here, out, lambda a: relation.move(a, UNKNOWN)),
                (there, source, relation.back),
            ):
                if known is not None:
                    mine = source if other is out else out
                    same = known.size == 1
                    moved = known.reshape((1,) * other.ndim) if same else move(full(known, mine))
                    self._assign(state, other, moved)
            return
        if here is not None:
            self._assign(state, out, np.asarray(relation.move(full(here, source), UNKNOWN)))
        if there is None:
            return
        arrived = full(there, out)
        places = np.arange(prod(source.shape), dtype=np.int64).reshape(source.shape)
        index = np.asarray(relation.move(places, -1))
        use = (index >= 0) & (arrived != UNKNOWN)
        found = np.full(prod(source.shape), UNKNOWN, dtype=np.int8)
        found[index[use]] = arrived[use]
        if (found[index[use]] != arrived[use]).any():
            raise Conflict
        self._assign(state, source, narrow(found.reshape(source.shape)))

    def _multiply(self, state: State, key: Key, relation: Multiplied) -> None:
        """A product must come out even: the last term that is open takes what is left."""
        option: Option = {}
        missing: list[Value] = []
        for value in dict.fromkeys(term.value for term in relation.terms):
            known = self._get(state, value)
            if known is None or (known == UNKNOWN).any():
                missing.append(value)
            else:
                option[value] = known
        if not missing:
            state.put(state.open, key, None)
            if self._total(option, relation, None).any():
                raise Conflict
            return
        own = self._left_for(missing[0], option, relation) if len(missing) == 1 else None
        if own is not None:
            state.put(state.open, key, None)
            self._assign(state, missing[0], own)
        elif (
            self._shift(relation)
            or any(nonzero(a) for a in option.values())
            or any(v in state.known for v in missing)
        ):
            state.wait(key, relation)

    def _options(self, state: State, relation: Multiplied | Tied) -> Iterator[Option]:
        """Ways to settle a product: one of the values that are open takes what is left."""
        if isinstance(relation, Tied):
            yield {relation.out: zeros(relation.out)}
            yield {relation.source: zeros(relation.source)}
            return
        values = list(dict.fromkeys(t.value for t in relation.terms))
        known: Option = {}
        for value in values:
            own = self._get(state, value)
            if own is not None:
                known[value] = np.where(own == UNKNOWN, 0, own).astype(np.int8)
        result, operands = values[0], values[1:]
        light = [v for v in operands if v in self.scalable or v in self.weights]
        rest = [v for v in operands if v not in light]
        ahead = not self._shift(relation) and result not in known
        takers = [*light, *([result] if ahead else []), *rest, *([] if ahead else [result])]
        takers = [v for v in takers if v not in known]
        for taker in takers:
            option = {**known, **{v: zeros(v) for v in takers if v is not taker}}
            try:
                own = self._left_for(taker, option, relation)
            except Conflict:
                continue
            if own is not None:
                yield {**option, taker: own}
        if not takers and not self._total(known, relation, None).any():
            yield known

    def _left_for(self, taker: Value, option: Option, relation: Multiplied) -> Exponents | None:
        """The exponents of the one value that is open; ``None`` if these relations leave it so.

        Raises
        ------
        Conflict
            It cannot have such exponents.
        """
        terms = [t for t in relation.terms if t.value is taker]
        sign = sum(t.sign for t in terms)
        if sign == 0 or any(t.axes != terms[0].axes for t in terms):
            return None
        total = self._total(option, relation, taker)
        names = axis_names(relation)
        axes = terms[0].axes
        if any(n > 1 for name, n in zip(names, total.shape, strict=True) if name not in axes):
            raise Conflict
        if (total % sign).any():
            raise Conflict
        own = small(-total // sign)
        own = own.reshape([n for n, name in zip(own.shape, names, strict=True) if name in axes])
        present = [name for name in names if name in axes]
        own = own.transpose([present.index(name) for name in axes])
        shape = terms[0].shape
        if shape == taker.shape:
            return own
        array: Exponents = np.broadcast_to(own, shape).reshape(taker.shape)
        return narrow(array)

    def _total(self, option: Option, relation: Multiplied, without: Value | None) -> np.ndarray:
        """The sum over the terms, one axis per name, of size 1 where it makes no difference."""
        names = axis_names(relation)
        total = np.full((1,) * len(names), self._shift(relation), dtype=np.int16)
        for term in relation.terms:
            if term.value is not without:
                total = total + placed(option[term.value], term, names)
                if prod(total.shape) > ROOM:
                    raise Conflict
        return narrow(total)
