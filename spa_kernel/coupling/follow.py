"""Follow labels from the weights on, to see in which blocks they need not go together.

Coupling gives an axis its labels whatever the other axes of the tensor are. Here each index of
each weight starts with a label of its own once more, and what is known of an axis is a pattern:
its labels for every index of those other axes that they depend on (a head's own head
dimensions). Operators merge only the labels that meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from spa_kernel.coupling.local import Local
from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import Product, Segment, described
from spa_kernel.graph.ops_elementwise import elementwise
from spa_kernel.graph.ops_shape import aligned_blocks

BATCHED = {
    *("Transpose", "Expand", "MatMul", "Einsum", "Softmax", "LogSoftmax"),
    *("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"),
    "ReduceSumSquare",
}
"""Beside the elementwise ones: operators that treat every index of an axis that goes through
unchanged in the same way, and by itself."""

BLOCKED = {"Conv", "ConvTranspose", "GroupNormalization"}
"""Operators with blocks of their own, which have to be of equal size and nothing more."""

MOVES = {"Split", "Slice", "Gather"}

MOST_ENTRIES = 2**22
"""Larger patterns (a flattened image) are not worth their memory."""


class Unclear(Exception):
    """A family meets something that is not followed: its blocks go on sharing one choice."""


@dataclass(frozen=True, slots=True, eq=False)
class Pattern:
    """Labels along an axis, for every index of the other axes that they depend on.

    ``content`` has the shape of the others, in order, and then of the axis; -1 where the family
    has no label.
    """

    others: tuple[int, ...]
    content: np.ndarray


class Follower:
    """Follows families of labels through the operators.

    Parameters
    ----------
    coupling : Coupling
    family : numpy.ndarray
        int64, for each label the number of its family, or -1.

    Attributes
    ----------
    base : numpy.ndarray
        int64, for each own label the shared label that it comes from; -1 at the end.
    merged : list of (numpy.ndarray, numpy.ndarray)
        Own labels that have to go together.
    known : dict
        The `Pattern` of each family and axis.
    parts : list of (int, Axis, numpy.ndarray)
        Family, axis, and for each index the number of a part: every part of the axis must keep
        as many indices as the shared choice says.
    given_up : set of int
        Families that go on sharing.
    """

    def __init__(self, coupling: Coupling, family: np.ndarray) -> None:
        self.coupling = coupling
        self.fresh = 0
        self.merged: list[tuple[np.ndarray, np.ndarray]] = []
        self.known: dict[tuple[int, Axis], Pattern] = {}
        self.given_up: set[int] = set()
        self.parts: list[tuple[int, Axis, np.ndarray]] = []
        self.family = family
        self.base = np.empty(0, dtype=np.int64)
        self.carried: dict[Value, list[tuple[int, int]]] = {}
        """Axis and family, for each value."""
        self._own: dict[tuple[int, int], np.ndarray] = {}

    def run(self) -> None:
        """Follow all families through the graph; what no operator led to is given up."""
        self._find()
        self._begin()
        for node in self.coupling.graph.nodes:
            values = [v for v in dict.fromkeys((*node.inputs, *node.outputs)) if v in self.carried]
            here = {f for v in values for _, f in self.carried[v]} - self.given_up
            if here:
                local = Local(node)
                for f in sorted(here):
                    self._try(f, local)
        for value, carried in self.carried.items():
            for axis, f in carried:
                if (f, (value, axis)) not in self.known:
                    self.given_up.add(f)

    def _find(self) -> None:
        present: dict[int, list[int]] = {}
        for (value, axis), labels in self.coupling.axes.items():
            if id(labels) not in present:
                numbers = np.unique(self.family[labels])
                present[id(labels)] = numbers[numbers >= 0].tolist()
            if value.kind != "virtual":
                for f in present[id(labels)]:
                    self.carried.setdefault(value, []).append((axis, f))

    def _begin(self) -> None:
        bases = []
        for value in self.coupling.graph.stored.values():
            for axis, f in self.carried.get(value, ()):
                try:
                    own = self.own(f, (value, axis))
                except Unclear:
                    self.given_up.add(f)
                    continue
                content = np.full(len(own), -1)
                mine = np.flatnonzero(own >= 0)
                content[mine] = np.arange(self.fresh, self.fresh + len(mine))
                self.fresh += len(mine)
                self.known[f, (value, axis)] = Pattern((), content)
                bases.append(own[own >= 0])
        # One more, so that "no label" has a base, too.
        self.base = np.concatenate([*bases, [-1]])

    def own(self, f: int, axis: Axis) -> np.ndarray:
        """The family's shared label at each index of an axis; -1 where there is none."""
        labels = self.coupling.axes[axis]
        key = f, id(labels)
        if key not in self._own:
            mine = np.where(self.family[labels] == f, labels, -1)
            own = mine.max(axis=1)
            if ((mine >= 0) & (mine != own[:, None])).any():
                raise Unclear
            self._own[key] = own
        return self._own[key]

    def axes(self, f: int, values: Sequence[Value | None]) -> Iterator[Axis]:
        """The axes of some values that the family has labels on."""
        for value in dict.fromkeys(v for v in values if v is not None):
            for axis, family in self.carried.get(value, ()):
                if family == f:
                    yield value, axis

    def _try(self, f: int, local: Local) -> None:
        node = local.node
        try:
            # Every so many indices: what is taken depends on which ones stay in between.
            if local.foreign or node.attrs.get("step", 1) != 1:
                raise Unclear
            if node.op == "Reshape":
                self._reshape(f, node)
            elif node.op == "Concat":
                self._concat(f, node)
            elif node.op in MOVES:
                self._move(f, local)
            elif local.plain or node.op in BLOCKED:
                self._combine(f, local)
            else:
                self._as_before(f, node)
            if any((f, axis) not in self.known for axis in self.axes(f, node.outputs)):
                raise Unclear
        except Unclear:
            self.given_up.add(f)

    def pattern(self, f: int, axis: Axis) -> Pattern:
        known = self.known.get((f, axis))
        if known is None:
            raise Unclear
        return known

    def _merge(self, a: np.ndarray, b: np.ndarray) -> None:
        if a is not b:
            a, b = np.broadcast_arrays(a, b)
            some = a >= 0
            if not np.array_equal(some, b >= 0):
                raise Unclear
            self.merged.append((a[some], b[some]))

    def _share(self, content: np.ndarray, dims: Sequence[int]) -> np.ndarray:
        """One choice along some dimensions (which are kept, at size 1)."""
        first = content
        for dim in dims:
            first = first.take([0], axis=dim)
        if dims:
            self._merge(content, first)
        return first

    def _shared(self, pattern: Pattern) -> Pattern:
        n = len(pattern.others)
        return Pattern((), self._share(pattern.content, range(n)).reshape(-1)) if n else pattern

    def _put(self, f: int, axis: Axis, others: Sequence[int], content: np.ndarray) -> None:
        """What is known of an output's axis."""
        value, at = axis
        if (f, axis) in self.known:
            raise Unclear
        if content.size > MOST_ENTRIES:
            content = self._share(content, range(content.ndim - 1))
        kept = []
        for dim in reversed(range(content.ndim - 1)):
            first = content.take([0], axis=dim)
            if np.array_equal(np.broadcast_to(first, content.shape), content):
                content = first.reshape(first.shape[:dim] + first.shape[dim + 1 :])
            else:
                kept.append(others[dim])
        if not np.array_equal(
            self.base[content], np.broadcast_to(self.own(f, axis), content.shape)
        ):
            raise Unclear
        # Of two axes, one may depend on the other, not each on the other.
        for other, g in self.carried[value]:
            known = self.known.get((g, (value, other)))
            if other in kept and known is not None and at in known.others:
                raise Unclear
        self.known[f, axis] = Pattern(tuple(reversed(kept)), content)

    def _combine(self, f: int, local: Local) -> None:
        """Operators that match axes with axes."""
        node = local.node
        known = described(node)
        batched = node.op in BATCHED or (known is not None and known.relation is elementwise)
        meet: dict[Axis, list[tuple[Value, Pattern]]] = {}
        for operand in self.axes(f, node.inputs):
            pattern = self.pattern(f, operand)
            pattern = pattern if batched else self._shared(pattern)
            meet.setdefault(local.letter(operand), []).append((operand[0], pattern))
        for letter, members in meet.items():
            letters, content = self._meet(local, members)
            for out, axis in self.axes(f, node.outputs):
                if local.letter((out, axis)) == letter:
                    places = {local.letter((out, i)): i for i in range(out.ndim)}
                    if len(places) < out.ndim:
                        raise Unclear
                    gone = [d for d, other in enumerate(letters) if other not in places]
                    shared = self._share(content, gone)
                    order = sorted(
                        (places[other], d) for d, other in enumerate(letters) if other in places
                    )
                    dims = [d for _, d in order]
                    shared = shared.transpose(*gone, *dims, len(letters))
                    shared = shared.reshape(shared.shape[len(gone) :])
                    self._put(f, (out, axis), [place for place, _ in order], shared)
        for product in local.products:
            self._product(f, product)

    def _meet(
        self, local: Local, members: list[tuple[Value, Pattern]]
    ) -> tuple[list[Axis], np.ndarray]:
        """Merge what meets; the letters of the other axes, and the content over them."""
        own = [[local.letter((value, i)) for i in p.others] for value, p in members]
        letters = list(dict.fromkeys(letter for some in own for letter in some))
        arrays = []
        for mine, (_, pattern) in zip(own, members, strict=True):
            if len(set(mine)) < len(mine):
                raise Unclear
            present = [letter for letter in letters if letter in mine]
            content = pattern.content.transpose(*map(mine.index, present), len(mine))
            sizes = dict(zip(present, content.shape, strict=False))
            shape = [sizes.get(letter, 1) for letter in letters]
            arrays.append(content.reshape(*shape, content.shape[-1]))
        try:
            arrays = list(np.broadcast_arrays(*arrays))
        except ValueError:
            raise Unclear from None
        for array in arrays[1:]:
            self._merge(arrays[0], array)
        return letters, arrays[0]

    def _reshape(self, f: int, node: Node) -> None:
        x, out = node.inputs[0], node.outputs[0]
        assert x is not None
        if 0 in x.shape:
            raise Unclear
        blocks = list(aligned_blocks(x.shape, out.shape))
        for _, a in self.axes(f, [x]):
            pattern = self.pattern(f, (x, a))
            present = sorted((*pattern.others, a))
            touched = [(xs, ys) for xs, ys in blocks if not set(present).isdisjoint(xs)]
            before = [i for xs, _ in touched for i in xs]
            after = [j for _, ys in touched for j in ys]
            ((mine, targets),) = [(xs, ys) for xs, ys in touched if a in xs]
            content = np.moveaxis(pattern.content, -1, present.index(a))
            content = content.reshape([x.shape[i] if i in present else 1 for i in before])
            # What depends on later axes of a merged axis would come out in another order.
            self._share(content, [before.index(i) for i in mine if i > a and i in present])
            content = np.broadcast_to(content, [x.shape[i] for i in before])
            content = content.reshape([out.shape[j] for j in after])
            found = [axis for _, axis in self.axes(f, [out]) if axis in targets]
            if len(found) != 1:
                raise Unclear
            content = self._share(content, [after.index(j) for j in targets if j > found[0]])
            content = np.moveaxis(content, after.index(found[0]), -1)
            others = [j for j in after if j != found[0]]
            self._put(f, (out, found[0]), others, content)

    def _move(self, f: int, local: Local) -> None:
        """Operators that take some indices of an axis."""
        x = local.node.inputs[0]
        assert x is not None
        if any(True for _ in self.axes(f, [v for v in local.node.inputs[1:] if v is not x])):
            raise Unclear
        for _, a in self.axes(f, [x]):
            pattern = self.pattern(f, (x, a))
            for segment in local.segments:
                for part, index in segment.parts:
                    self._cut(f, (x, a), segment, index)
                    straight = (np.diff(index) == 1).all()
                    if part[0].kind != "virtual" and segment.whole[1] == a and not straight:
                        pattern = self._shared(pattern)
            for out in local.node.outputs:
                self._take(f, local, pattern, (x, a), out)

    def _cut(self, f: int, axis: Axis, segment: Segment, index: np.ndarray) -> None:
        """The program counts the indices in front of a part, and those in it."""
        if segment.whole == axis and len(index):
            part = np.zeros(axis[0].shape[axis[1]], dtype=np.int64)
            part[index.min() :] = 1
            part[index.max() + 1 :] = 2
            self.parts.append((f, axis, part))

    def _take(self, f: int, local: Local, pattern: Pattern, axis: Axis, out: Value) -> None:
        """Part of a pattern for one output of an operator that takes indices."""
        x, a = axis
        places: dict[int, tuple[int, np.ndarray | None]] = {}
        for i in range(x.ndim):
            for j in range(out.ndim):
                if local.letter((x, i)) == local.letter((out, j)):
                    places[i] = j, None
        for segment in local.segments:
            for part, index in segment.parts:
                if part[0] is out:
                    places[segment.whole[1]] = part[1], index
        if a not in places:
            return
        lost = [d for d, i in enumerate(pattern.others) if i not in places]
        content, order = self._share(pattern.content, lost), []
        for d, i in enumerate((*pattern.others, a)):
            j, taken = places.get(i, (-1, None))
            content = content if taken is None else content.take(taken, axis=d)
            order.append((j, d))
        target, _ = order.pop()
        if target in [j for j, _ in order] or (content < 0).all():
            return
        order.sort()
        content = content.transpose(*(d for _, d in order), content.ndim - 1)
        self._put(f, (out, target), [j for j, _ in order], content)

    def _concat(self, f: int, node: Node) -> None:
        out, at = node.outputs[0], node.attrs["axis"]
        for _, a in self.axes(f, [out]):
            members: list[tuple[Value, Pattern]] = []
            for value in node.inputs:
                assert value is not None
                if any(axis == a for _, axis in self.axes(f, [value])):
                    members.append((value, self.pattern(f, (value, a))))
                elif a == at:
                    members.append((value, Pattern((), np.full(value.shape[a], -1))))
                else:
                    raise Unclear
            others = sorted({i for _, p in members for i in p.others} | ({at} - {a}))
            arrays = []
            for value, pattern in members:
                shape = [value.shape[i] if i in pattern.others else 1 for i in others]
                content = pattern.content.reshape(*shape, -1)
                full = (*(value.shape[i] for i in others), content.shape[-1])
                arrays.append(np.broadcast_to(content, full))
            dim = len(others) if a == at else others.index(at)
            self._put(f, (out, a), others, np.concatenate(arrays, axis=dim))

    def _product(self, f: int, product: Product) -> None:
        """An axis in which an operator sees blocks: the groups of a convolution or of a norm."""
        mine = set(self.axes(f, [v for v, _ in (product.whole, *product.factors)]))
        sizes = [value.shape[i] for value, i in product.factors]
        real = [d for d, axis in enumerate(product.factors) if axis in mine]
        if product.whole not in mine:
            if real:
                raise Unclear
            return
        if (f, product.whole) not in self.known:
            if len(real) != 1:
                raise Unclear
            content = self._shared(self.pattern(f, product.factors[real[0]])).content
            content = np.broadcast_to(spread(content, real[0], len(sizes)), sizes)
            self._put(f, product.whole, (), content.reshape(-1))
            return
        own = self.own(f, product.whole).reshape(sizes)
        varies = [d for d in range(len(sizes)) if (own != own.take([0], axis=d)).any()]
        if len(varies) != 1 or (real and real != varies):
            raise Unclear
        at = varies[0]
        content = self._shared(self.pattern(f, product.whole)).content.reshape(sizes)
        content = self._share(content, range(at + 1, len(sizes)))
        inner = int(np.prod(sizes[at:]))
        self.parts.append((f, product.whole, np.arange(own.size) // inner))
        factor = product.factors[at]
        if real or (f, factor) in self.known:
            other = self._shared(self.pattern(f, factor)).content
            self._merge(content, spread(other, at, len(sizes)))
        elif factor in self.coupling.axes:
            # The axis of an attribute, which others may use as well, has one choice.
            self.known[f, factor] = Pattern((), self._share(content, range(at)).reshape(-1))

    def _as_before(self, f: int, node: Node) -> None:
        """One choice for all blocks of all that the operator touches."""
        chosen = np.full(self.coupling.count, -1)
        inputs = list(self.axes(f, node.inputs))
        for axis in inputs:
            content = self.pattern(f, axis).content
            base = self.base[content]
            chosen[base[base >= 0]] = content[base >= 0]
        for axis in inputs:
            content = self.pattern(f, axis).content
            self._merge(content, np.where(content >= 0, chosen[self.base[content]], -1))
        for axis in self.axes(f, node.outputs):
            own = self.own(f, axis)
            content = np.where(own >= 0, chosen[own], -1)
            if (content < 0).any() and (own[content < 0] >= 0).any():
                raise Unclear
            self._put(f, axis, (), content)


def spread(content: np.ndarray, at: int, ndim: int) -> np.ndarray:
    """A vector as an array of more dimensions, along one of them."""
    return content.reshape([-1 if d == at else 1 for d in range(ndim)])
