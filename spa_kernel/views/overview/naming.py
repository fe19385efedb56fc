"""What boxes are called."""

from __future__ import annotations

from dataclasses import replace

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.views.overview.boxes import Box
from spa_kernel.views.overview.flow import Flow


def told_apart(coupling: Coupling, found: Flow, boxes: list[Box]) -> list[Box]:
    """Heads are called so, and boxes of one title get the name of what only they have as well."""
    number = {group.id: i for i, group in enumerate(coupling.groups)}
    blocks: dict[tuple[str, int], set[int]] = {}
    for group in coupling.groups:
        if group.blocks > 1:
            for member in group.members:
                blocks.setdefault(member, set()).add(group.blocks)
    by_title: dict[str, list[tuple[Box, Group]]] = {}
    for box in boxes:
        if box.groups:
            first = coupling.groups[number[box.groups[0]]]
            by_title.setdefault(box.title, []).append((box, first))
    titles = {}
    for title, same in by_title.items():
        parts = [_parts_of(group) for _, group in same]
        for (box, group), own in zip(same, parts, strict=True):
            if group.blocks == 1 and any(group.size in blocks.get(m, ()) for m in group.members):
                attends = "Softmax" in found.operators[number[group.id]]
                titles[box.id] = f"{title} ({'heads' if attends else 'blocks'})"
            elif len(same) > 1:
                extra = sorted(own.difference(parts[0].intersection(*parts)))
                titles[box.id] = f"{title} → {extra[0]}" if extra else title
    return [replace(box, title=titles.get(box.id, box.title)) for box in boxes]


def _parts_of(group: Group) -> set[str]:
    """What it cuts: modules other than the one of its name, and tensors of that one."""
    pairs = [name.rpartition(".") for name, _ in group.members]
    return {leaf if module == group.name else module.rpartition(".")[2] or leaf
            for module, _, leaf in pairs}  # fmt: skip


def sizes(groups: list[Group], times: int) -> str:
    """Channels of one group, or of each of many."""
    if times == 1 and len(groups) > 1 and not groups[0].blocks > 1:
        return f"{sum(g.size for g in groups):,} channels in {len(groups)} groups"
    if times == 1:
        size = sum(g.size for g in groups)
        blocks = groups[0].blocks
        each = f" = {blocks} × {size // blocks}" if blocks > 1 else ""
        return f"{size:,}{each} {'channel' if size == 1 else 'channels'}"
    each_size = sorted({g.size for g in groups})
    if len(each_size) == 1:
        return f"{len(groups)} × {each_size[0]:,} channels"
    return f"{len(groups)} × {each_size[0]:,}–{each_size[-1]:,} channels"


def joined_name(names: list[str]) -> str:
    """A title for neighbours: the module they are in, or the first and the last."""
    if len(names) == 1:
        return names[0]
    paths = [name.split(".") for name in names]
    shared = 0
    while all(len(p) > shared and p[shared] == paths[0][shared] for p in paths):
        shared += 1
    first, last = ".".join(paths[0]), ".".join(paths[-1][shared:])
    return f"{first} … {last}" if last else first
