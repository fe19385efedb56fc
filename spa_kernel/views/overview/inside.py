"""A group opened: its layers, and the operators that tie their channels together."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.ops_probed import tried_out
from spa_kernel.views.overview.boxes import MOST, Box, Overview
from spa_kernel.views.overview.collapse import Pairs, fitted
from spa_kernel.views.overview.flow import Carried
from spa_kernel.views.overview.network import THINNED, overview, pictured
from spa_kernel.views.overview.repeats import spanned, template
from spa_kernel.views.overview.words import LINKS, link_words, role
from spa_kernel.views.units import count

if TYPE_CHECKING:
    from spa_kernel.session import Session

PartKind = Literal["layer", "link"]
UNFOLDED = 24
"""With more layers and links than this, equal ones of repeated blocks are drawn as one."""


def opened(session: Session, box: Box) -> Overview:
    """What is in a box: the layers of one group, or the groups of several.

    Raises
    ------
    KeyError
        The box has no groups: it is an input, an output, or a part of a group.
    """
    if not box.groups:
        raise KeyError(box.id)
    if len(box.groups) > 1:
        return overview(session, box.groups, title=box.title)
    coupling = session.analysis.coupling
    by_id = {g.id: g for g in coupling.groups}
    return inside(Carried(coupling), by_id[box.groups[0]])


@dataclass
class _Part:
    """A layer or a link: operators at one place that see the group's channels."""

    node: Node
    kind: PartKind
    title: str
    detail: str
    tensors: list[str] = field(default_factory=list)
    order: int = 0
    times: int = 1


def inside(carried: Carried, group: Group) -> Overview:
    """The layers whose tensors a group cuts, the links between them, and why they are tied."""
    parts, pairs = _parts(carried, group)
    parts, pairs = _unlinked(parts, pairs)
    if len(parts) > UNFOLDED:
        parts, pairs = _alike(parts, pairs)
    names = [part.title for part in parts]
    chosen, kept, thin = fitted(names, [part.kind == "link" for part in parts], pairs, MOST)
    boxes = []
    for number, items in enumerate(chosen):
        first = parts[items[0]]
        times = sum(parts[i].times for i in items)
        more = f" … {parts[items[-1]].title}" if len(items) > 1 else ""
        title, detail = first.title + more, first.detail
        if first.kind == "link":
            source = first.node.source
            title, detail = detail, f"{title}, {source}" if source else title
        boxes.append(
            Box(
                id=f"{group.id}:{number}",
                kind=first.kind,
                title=title,
                detail=f"{detail} × {times}" if times > 1 else detail,
                times=times,
                frozen=not group.prunable,
                why=link_words(first.node) if first.kind == "link" else "",
                names=tuple(name for i in items for name in parts[i].tensors),
                order=first.order,
            )
        )
    notes = reasons(group, parts)
    return pictured(
        f"{group.id}: {group.name}", boxes, kept, notes=(*notes, *((THINNED,) if thin else ()))
    )


def reasons(group: Group, parts: list[_Part]) -> tuple[str, ...]:
    """Sentences: why these channels move together, or why they stay."""
    layers = [p for p in parts if p.kind == "layer"]
    makers = [p for p in layers if p.detail.startswith("output channels")]
    found = []
    if not group.prunable:
        found.append(f"These channels stay: {group.reason}.")
    if group.blocks > 1:
        found.append(
            f"They fall into {group.blocks} blocks (heads, or groups of a convolution): each "
            "chooses its own, and all lose equally many."
        )
    total = sum(p.times for p in makers)
    if total > 1:
        names = ", ".join(p.title for p in makers[:3]) + (" …" if len(makers) > 3 else "")
        found.append(
            f"{count(total, 'layer')} ({names}) write these channels, so index i of each goes "
            "together with index i of the others."
        )
    elif makers:
        found.append(f"{makers[0].title} makes these channels; what uses them loses them too.")
    seen: dict[str, list[_Part]] = defaultdict(list)
    for part in parts:
        if part.kind == "link":
            seen[link_words(part.node)].append(part)
    for sentence, links in seen.items():
        places = list(dict.fromkeys(p.node.where for p in links))
        at = ", ".join(places[:2])
        number = sum(p.times for p in links)
        more = f" and {number - min(2, len(places))} more" if number > min(2, len(places)) else ""
        found.append(f"{sentence} ({at}{more}).")
    readers = sum(p.times for p in layers if p.detail.startswith("input"))
    others = [p for p in layers if not p.detail.startswith(("input", "output"))]
    if others:
        names = ", ".join(f"{p.title} ({p.detail})" for p in others[:3])
        more = " …" if len(others) > 3 else ""
        found.append(f"What has an entry per channel loses it: {names}{more}.")
    if readers:
        found.append(
            f"{count(readers, 'layer')} {'reads' if readers == 1 else 'read'} them, and "
            f"{'loses' if readers == 1 else 'lose'} the input channels with the same index."
        )
    return tuple(found)


def _parts(carried: Carried, group: Group) -> tuple[list[_Part], Pairs]:
    """Layers and links in the order of the network, and data flow between them."""
    coupling, weights = carried.coupling, carried.stored
    number = next(i for i, g in enumerate(coupling.groups) if g is group)
    members: dict[str, list[int]] = defaultdict(list)
    for name, axis in group.members:
        members[name].append(axis)
    made_of: dict[Value, list[tuple[Value, int]]] = {}
    tails: dict[Value, frozenset[int]] = {}
    parts: list[_Part] = []
    at_place: dict[tuple[str, str], int] = {}
    pairs: set[tuple[int, int]] = set()
    for at, node in enumerate(carried.seen_by[number]):
        operands = [v for v in node.inputs if v is not None]
        cut = [
            pair
            for v in operands
            if v in weights
            for pair in made_of.get(
                v, [(v, a) for a in members.get(v.name, ())] if v.stored else []
            )
        ]
        if operands and all(v in weights for v in operands):
            made_of.update((v, cut) for v in node.outputs)
            continue
        data = [v for v in operands if v not in weights and number in carried.value(v)]
        results = [v for v in node.outputs if number in carried.value(v)]
        come = frozenset[int]().union(*(tails.get(v, frozenset()) for v in data))
        kind: PartKind = "layer" if cut else "link"
        if not cut and not _links(node, data, coupling):
            tails.update((v, come) for v in results)
            continue
        owner = cut[0][0].name.rpartition(".")[0] or cut[0][0].name if cut else node.name
        words = role(node, cut, bool(data), bool(results)) if cut else LINKS.get(node.op, node.op)
        key = (owner, words) if cut else (owner, f"{words} {at}")
        if key not in at_place:
            at_place[key] = len(parts)
            parts.append(_Part(node, kind, owner or node.op, words, order=at))
        mine = at_place[key]
        parts[mine].tensors += [v.name for v, _ in cut if v.name not in parts[mine].tensors]
        pairs.update((other, mine) for other in come if other != mine)
        tails.update((v, frozenset({mine})) for v in results)
    seen = {name for part in parts for name in part.tensors}
    for name in dict.fromkeys(name for name, _ in group.members):
        if name not in seen:
            # No operator that has data reads it itself.
            owner = name.rpartition(".")[0] or name
            value = coupling.graph.stored[name]
            words = f"axis {members[name][0]} of {list(value.shape)}"
            node = Node("", (), (), name=owner)
            parts.append(
                _Part(node, "layer", owner, words, [name], order=len(coupling.graph.nodes))
            )
    return parts, sorted(pairs)


def _links(node: Node, data: list[Value], coupling: Coupling) -> bool:
    """Whether an operator ties channels of several values, or takes them apart."""
    if not data:
        return False
    if len(set(data)) > 1 or tried_out(node):
        return True
    if node.op not in ("Reshape", "Split", "Flatten"):
        return False
    before = {(v.shape[a], (v, a) in coupling.axes) for v in data for a in range(v.ndim)}
    behind = {(v.shape[a], (v, a) in coupling.axes) for v in node.outputs for a in range(v.ndim)}
    return {n for n, labelled in before if labelled} != {n for n, labelled in behind if labelled}


def _unlinked(parts: list[_Part], pairs: Pairs) -> tuple[list[_Part], Pairs]:
    """Without links that nothing comes from and nothing goes to."""
    ends = {i for pair in pairs for i in pair}
    kept = [i for i, part in enumerate(parts) if part.kind == "layer" or i in ends]
    place = {i: n for n, i in enumerate(kept)}
    return [parts[i] for i in kept], [(place[a], place[b]) for a, b in pairs]


def _alike(parts: list[_Part], pairs: Pairs) -> tuple[list[_Part], Pairs]:
    """Parts with names that are equal but for their numbers are one."""
    found: dict[object, list[int]] = defaultdict(list)
    for i, part in enumerate(parts):
        found[part.kind, part.detail, template(part.title), part.node.op].append(i)
    owner = {i: n for n, items in enumerate(found.values()) for i in items}
    folded = [
        replace(
            parts[items[0]],
            title=spanned([parts[i].title for i in items]),
            times=len(items),
            tensors=[name for i in items for name in parts[i].tensors],
        )
        for items in found.values()
    ]
    ends = {(owner[a], owner[b]) for a, b in pairs if owner[a] != owner[b]}
    return folded, sorted(ends)
