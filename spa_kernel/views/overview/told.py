"""A box in words, and the whole picture as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa_kernel.views.blocks import Block, Cell, Column, Fold, Line, Picture, Points, Section, Table
from spa_kernel.views.overview.boxes import Box, Overview
from spa_kernel.views.overview.flow import Carried
from spa_kernel.views.overview.inside import inside
from spa_kernel.views.units import amount, count

if TYPE_CHECKING:
    from spa_kernel.session import Session

_NAMES = 12
"""In a list of groups."""


def box_blocks(session: Session, shown: Overview, box: Box) -> list[Block]:
    """What a box is, and why its channels move together."""
    found: list[Block] = [Section(box.title, more=_kind(box)), Line(box.detail)]
    if box.groups:
        coupling = session.analysis.coupling
        groups = [g for g in coupling.groups if g.id in set(box.groups)]
        part = inside(Carried(coupling), groups[0])
        if box.kind == "repeat":
            found.append(Line(f"Each of these {len(groups)} groups is like {groups[0].id}:"))
        if box.kind == "module":
            names = ", ".join(f"{g.id} {g.name}" for g in groups[:_NAMES])
            more = f" and {len(groups) - _NAMES} more" if len(groups) > _NAMES else ""
            found.append(Line(f"{names}{more}. Open the box to see them."))
        else:
            found += [Points(part.notes), layer_fold(part)]
    elif box.why:
        found.append(Line(f"{box.why}."))
    if box.names and not box.groups:
        found.append(Fold(count(len(box.names), "tensor"), [Points(box.names)]))
    return [*found, *_neighbours(shown, box)]


def layer_fold(part: Overview) -> Fold:
    """The layers of a group and what each has its channels for."""
    layers = [box for box in part.boxes if box.kind == "layer"]
    rows = [[Cell(box.title, code=True), Cell(box.detail)] for box in layers]
    number = sum(box.times for box in layers)
    return Fold(
        f"{count(number, 'place')} in layers",
        [Table([Column("Layer", elastic=True), Column("What goes", wraps=True)], rows)],
    )


def _kind(box: Box) -> str:
    ids = box.groups[0] if len(box.groups) == 1 else f"{len(box.groups)} groups"
    state = ", frozen" if box.frozen else ""
    return {
        "group": f"group {ids}{state}",
        "repeat": f"{ids} of equal structure{state}",
        "module": f"{ids} drawn as one{state}",
        "input": "input of the model",
        "output": "output of the model",
        "layer": "layer",
        "link": "link",
    }[box.kind]


def _neighbours(shown: Overview, box: Box) -> list[Block]:
    from_ = [shown.by_id[a.source].title for a in shown.arrows if a.target == box.id]
    to = [shown.by_id[a.target].title for a in shown.arrows if a.source == box.id]
    return [
        Line(f"{word} {', '.join(names[:6])}{' …' if len(names) > 6 else ''}.", tone="muted")
        for word, names in (("Data comes from", from_), ("Data goes to", to))
        if names
    ]


def table(session: Session, shown: Overview) -> Table:
    """A row per box with groups: the same as the picture, for those who cannot see it."""
    coupling = session.analysis.coupling
    by_id, carried = {g.id: g for g in coupling.groups}, Carried(coupling)
    rows = []
    for box in shown.boxes:
        if not box.groups:
            continue
        ids = box.groups[0] if len(box.groups) == 1 else f"{box.groups[0]} … {box.groups[-1]}"
        part = inside(carried, by_id[box.groups[0]]) if box.kind != "module" else None
        rows.append(
            [
                Cell(ids),
                Cell(box.title, code=True),
                Cell(f"{box.channels:,}", title=box.detail),
                amount(box.params),
                Cell(
                    box.why or (_brief(part) if part is not None else f"{len(box.groups)} groups")
                ),
            ]
        )
    columns = [
        Column("Group"),
        Column("Layer", elastic=True),
        Column("Channels", right=True),
        Column("Parameters", right=True, help="that go with these channels, or stay with them"),
        Column("Why they move together, or stay", wraps=True),
    ]
    return Table(columns, rows)


def _brief(part: Overview) -> str:
    """What ties the channels of a group, in a few words."""
    ties: dict[str, int] = {}
    written = read = 0
    for box in part.boxes:
        if box.kind == "link":
            ties[box.title] = ties.get(box.title, 0) + box.times
        written += box.times * box.detail.startswith("output")
        read += box.times * box.detail.startswith("input")
    found = [f"{name} × {times}" if times > 1 else name for name, times in ties.items()]
    return ", ".join([*found, f"written by {count(written, 'layer')}", f"read by {read}"])


def words(shown: Overview) -> str:
    """The picture in a sentence."""
    live = sum(bool(box.groups) and not box.frozen for box in shown.boxes)
    frozen = sum(bool(box.groups) and box.frozen for box in shown.boxes)
    return (
        f"Coupling graph of {shown.title}: {count(live, 'box', 'boxes')} of channels that can "
        f"go, {frozen} frozen, {count(len(shown.arrows), 'arrow')} of data flow"
    )


def overview_blocks(session: Session) -> list[Block]:
    """The coupling graph as a picture and as a table."""
    from spa_kernel.views.blocks import Title
    from spa_kernel.views.overview.network import overview

    shown = overview(session)

    def draw() -> bytes:
        from spa_kernel.views.figures import png
        from spa_kernel.views.overview.figure import overview_figure

        return png(overview_figure(shown))

    groups = sum(len(box.groups) for box in shown.boxes)
    return [
        Title(f"Coupling graph of {session.name}", count(groups, "group")),
        Picture(draw, words(shown)),
        Line(
            "A box is a group of channels that move together; double boxes stand for the same "
            "group of several blocks, grey ones cannot go. Arrows are data flow.", tone="muted",
        ),
        table(session, shown),
        *(Line(note, tone="muted") for note in shown.notes),
    ]  # fmt: skip
