"""The coupling graph of a network: a box per group, repeated blocks folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spa_kernel.coupling.result import Coupling
from spa_kernel.views.overview.boxes import MOST, Arrow, Box, BoxKind, Overview
from spa_kernel.views.overview.collapse import Pairs, fitted
from spa_kernel.views.overview.flow import Flow, flow
from spa_kernel.views.overview.held import held
from spa_kernel.views.overview.layout import placed
from spa_kernel.views.overview.naming import joined_name, sizes, told_apart
from spa_kernel.views.overview.repeats import classes, folded, spanned, template
from spa_kernel.views.units import count, short

if TYPE_CHECKING:
    from spa_kernel.session import Session

TANGLE = 3
"""With more arrows than this for every box, parts of one layer's channels are drawn as one."""
THINNED = "Arrows that follow from others are left out."


def overview(session: Session, groups: Sequence[str] | None = None, *, title: str = "") -> Overview:
    """What a session's groups are, and how data flows between them.

    Parameters
    ----------
    session : Session
    groups : sequence of str, optional
        Ids of the groups to be shown, unfolded; by default all, with repeated blocks folded.
    title : str
        By default the name of the session.

    Returns
    -------
    Overview
        Of no more than `MOST` boxes and arrows.
    """
    coupling = session.analysis.coupling
    found = flow(coupling)
    chosen = list(range(len(coupling.groups)))
    if groups is not None:
        wanted = set(groups)
        chosen = [i for i in chosen if coupling.groups[i].id in wanted]
    items = _at_one_place(coupling, sorted(chosen, key=found.order.__getitem__))
    pairs = _between(found, items, len(coupling.groups))
    if groups is None and len(pairs) > TANGLE * len(items):
        items = _of_one_layer(coupling, items)
        pairs = _between(found, items, len(coupling.groups))
    if groups is None:
        alike = _Structure(coupling, found, _first_sizes(session))
        keys = [alike.of(item) for item in items]
        kinds = classes(keys, pairs)
        parts = folded([coupling.groups[item[0]].name for item in items], kinds)
        items = [[g for i in part for g in items[i]] for part in parts]
        pairs = _between(found, items, len(coupling.groups))
    named = [coupling.groups[item[0]].name for item in items]
    stay = [not any(coupling.groups[g].prunable for g in item) for item in items]
    ends = [] if groups is not None else _borders(coupling)
    inner = [(a, b) for a, b in pairs if a < len(items) and b < len(items)]
    parts, kept, thin = fitted(named, stay, inner, MOST - 3 * len(ends))
    owner = {i: number for number, part in enumerate(parts) for i in part}
    params = held(found.carried)
    boxes = [
        _box(coupling, found, [g for i in part for g in items[i]], params, len(part) > 1)
        for part in parts
    ]
    # The model's inputs and outputs have numbers after those of the items.
    for number, (kind, value, shape) in enumerate(ends):
        owner[len(items) + number] = len(boxes)
        order = -1 if kind == "input" else len(coupling.groups)
        detail = " × ".join(map(str, shape))
        boxes.append(Box(f"{kind}:{value}", kind, value, detail, order=order))
    if ends:
        outside = {(owner[a], owner[b]) for a, b in pairs if max(a, b) >= len(items)}
        kept = [*kept, *sorted(outside)][: MOST - len(boxes)]
    boxes = told_apart(coupling, found, boxes)
    return pictured(title or session.name, boxes, kept, notes=(THINNED,) if thin else ())


def pictured(
    title: str, boxes: Sequence[Box], pairs: Pairs, notes: tuple[str, ...] = ()
) -> Overview:
    """Put boxes in order, and give them and their arrows a place."""
    arrows = [
        Arrow(boxes[a].id, boxes[b].id, back=boxes[a].order >= boxes[b].order) for a, b in pairs
    ]
    ordered = sorted(boxes, key=lambda box: box.order)
    places, bends = placed(ordered, arrows)
    return Overview(title, tuple(ordered), tuple(arrows), places, bends, notes)


def _at_one_place(coupling: Coupling, chosen: Sequence[int]) -> list[list[int]]:
    """Frozen groups of one tensor, as the rows of a table, are one item."""
    found: dict[object, list[int]] = {}
    for number in chosen:
        group = coupling.groups[number]
        key = number if group.prunable else (group.name, tuple(group.members))
        found.setdefault(key, []).append(number)
    return list(found.values())


def _of_one_layer(coupling: Coupling, items: list[list[int]]) -> list[list[int]]:
    """Groups of one layer's channels, which go different ways behind it, are one item."""
    found: dict[str, list[int]] = {}
    for item in items:
        found.setdefault(coupling.groups[item[0]].name, []).extend(item)
    return list(found.values())


def _between(found: Flow, items: list[list[int]], count: int) -> Pairs:
    """Data flow between items; what is no group comes after them."""
    owner = {g: i for i, item in enumerate(items) for g in item}
    pairs = set()
    for a, b in found.pairs:
        source = owner.get(a) if a < count else len(items) + a - count
        target = owner.get(b) if b < count else len(items) + b - count
        if source is not None and target is not None and source != target:
            pairs.add((source, target))
    return sorted(pairs)


def _first_sizes(session: Session) -> dict[tuple[str, tuple[str, int]], int]:
    """Sizes before the first prune: blocks that lose different channels stay the same blocks."""
    start = session.history[0].analysis.coupling
    return {(g.name, g.members[0]): g.size for g in start.groups}


class _Structure:
    """What must be equal for groups to be the same part of equal blocks."""

    def __init__(
        self, coupling: Coupling, found: Flow, sizes: dict[tuple[str, tuple[str, int]], int]
    ) -> None:
        self.coupling, self.found, self.sizes = coupling, found, sizes
        self._tensors: dict[str, tuple[str, tuple[int, ...]]] = {}

    def of(self, item: list[int]) -> object:
        """A key for an item."""
        groups = [self.coupling.groups[i] for i in item]
        first = groups[0]
        sizes = sorted(self.sizes.get((g.name, g.members[0]), g.size) for g in groups)
        return (
            template(first.name), frozenset((self.tensor(n), a) for n, a in first.members),
            tuple(sizes), first.blocks, template(first.reason),
            frozenset(self.found.operators[item[0]]), self.found.shapes[item[0]],
        )  # fmt: skip

    def tensor(self, name: str) -> tuple[str, tuple[int, ...]]:
        """The name of a tensor without numbers, and the sizes of what is no channel axis."""
        known = self._tensors.get(name)
        if known is None:
            value, axes = self.coupling.graph.stored[name], self.coupling.axes
            fixed = tuple(n for a, n in enumerate(value.shape) if (value, a) not in axes)
            known = self._tensors[name] = template(name), fixed
        return known


def _borders(coupling: Coupling) -> list[tuple[BoxKind, str, tuple[int, ...]]]:
    graph = coupling.graph
    return [
        *(("input", v.name, v.shape) for v in graph.inputs),
        *(("output", _result(v.name, i, len(graph.outputs)), v.shape)
          for i, v in enumerate(graph.outputs)),
    ]  # fmt: skip


def _result(name: str, number: int, of: int) -> str:
    """A result's own name is one that the tracer made up."""
    return "output" if of == 1 else f"output {number + 1}"


def _box(
    coupling: Coupling, found: Flow, numbers: list[int], total: list[int], joined: bool
) -> Box:
    """One box for one or several groups; ``joined``: put together because there are many."""
    groups = [coupling.groups[i] for i in numbers]
    first = groups[0]
    live = any(g.prunable for g in groups)
    names = dict.fromkeys(g.name for g in groups)
    params = sum(total[i] for i in numbers)
    kind: BoxKind
    if joined:
        kind, title = "module", joined_name(list(names))
        detail = f"{count(len(groups), 'group')}, {short(sum(g.size for g in groups))} channels"
    else:
        kind = "group" if len(groups) == 1 else "module" if len(names) == 1 else "repeat"
        title = spanned(list(names))
        detail = sizes(groups, len(names))
    detail += f" · {short(params)} params"
    members = dict.fromkeys(name for g in groups for name, _ in g.members)
    return Box(
        id=first.id if len(groups) == 1 else f"{first.id}x{len(groups)}",
        kind=kind,
        title=title,
        detail=detail,
        times=len(names) if kind == "repeat" else 1,
        frozen=not live,
        groups=tuple(g.id for g in groups),
        channels=sum(g.size for g in groups),
        params=params,
        why="" if live else first.reason,
        names=(*names, *members),
        order=min(found.order[i] for i in numbers),
    )
