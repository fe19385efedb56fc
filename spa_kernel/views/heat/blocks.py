"""The heatmap as blocks: the picture, and a table that says the same."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from spa_kernel.views.blocks import Block, Cell, Column, Line, Picture, Table, Title
from spa_kernel.views.heat.agreement import Agreement, agreement
from spa_kernel.views.heat.rows import Heat, heat
from spa_kernel.views.heat.scale import brief
from spa_kernel.views.heat.sheet import MOST, Sheet, pair, sheet
from spa_kernel.views.session_view import LAYER

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session

Scores = Mapping[str, np.ndarray]

_STEPS = " ▁▂▃▄▅▆▇█"
_BINS = 16


def heat_blocks(
    session: Session, scores: Scores, plan: Plan | None = None, criterion: str = ""
) -> list[Block]:
    """Importance of the channels of each group, and what a plan takes.

    Parameters
    ----------
    session : Session
    scores : mapping of str to numpy.ndarray
        As `Session.importance` returns them.
    plan : Plan, optional
    criterion : str
        What the scores are called.
    """
    shown = heat(session, scores, plan, criterion)
    by = f"by {criterion}" if criterion else ""
    blocks: list[Block] = [Title(f"Importance of {session.name}", by)]
    if shown.rows:
        blocks += [*picture(sheet(shown)), table(shown)]
    return [*blocks, *(Line(note, tone="muted") for note in shown.notes)]


def agreement_blocks(session: Session, scores: Mapping[str, Scores]) -> list[Block]:
    """Two criteria side by side.

    Parameters
    ----------
    session : Session
    scores : mapping of str to scores
        The names of two criteria, and what `Session.importance` returns for them.
    """
    (name, first), (other, second) = scores.items()
    a, b = heat(session, first, None, name), heat(session, second, None, other)
    among = [{row.group: row.scores for row in each.rows} for each in (a, b)]
    found = agreement(*among)
    overall = "" if found.overall is None else f"rank agreement {found.overall:.2f} over all"
    blocks: list[Block] = [Title(f"{name} and {other} on {session.name}", overall)]
    if found.groups or found.undefined:
        blocks += [*picture(pair(a, b, found)), ranking(a, found)]
    notes = dict.fromkeys([*a.notes, *b.notes])
    return [*blocks, *(Line(note, tone="muted") for note in notes)]


def picture(shown: Sheet) -> list[Block]:
    """The figure, and that it is not all, where it is not."""
    rest = shown.total - len(shown.panels[0].strips)
    more = f"The picture has the first {MOST} of {shown.total:,} groups, the table all."
    words = f"{shown.words} {shown.taken}" if shown.planned else shown.words
    return [Picture(partial(drawn, shown), words), *([Line(more, tone="muted")] * (rest > 0))]


def drawn(shown: Sheet) -> bytes:
    """A figure as a PNG; matplotlib is loaded only where there is a picture to draw."""
    from spa_kernel.views.figures import png
    from spa_kernel.views.heat.figure import heat_figure

    return png(heat_figure(shown))


def table(shown: Heat) -> Table:
    """The numbers of every group."""
    columns = [
        Column("Group"),
        LAYER,
        Column("Channels", right=True),
        Column("Lowest", right=True),
        Column("Median", right=True),
        Column("Highest", right=True),
    ]
    if shown.planned:
        columns += [Column("Go", right=True), Column("What stays")]
    else:
        columns.append(Column("How many, low to high", help="how the scores are spread"))
    rows = []
    for row in shown.rows:
        line = [Cell(row.group), Cell(row.name, code=True), Cell(f"{row.size:,}")]
        line += [Cell(brief(s)) for s in np.quantile(row.scores, [0, 0.5, 1])]
        if shown.planned:
            share = 1 - row.going / row.size
            line += [Cell(f"{row.going:,}"), Cell(f"{share:.0%}", share=share)]
        else:
            line.append(Cell(spread(row.scores), code=True))
        rows.append(line)
    return Table(columns, rows)


def ranking(shown: Heat, found: Agreement) -> Table:
    """Agreement of every group, the least first."""
    columns = [
        Column("Group"),
        LAYER,
        Column("Channels", right=True),
        Column("Agreement", right=True, help="Spearman's rank correlation, from -1 to 1"),
    ]
    by_id = {row.group: row for row in shown.rows}
    values = [*((group, f"{value:.2f}") for group, value in found.groups.items()),
              *((group, "–") for group in found.undefined)]  # fmt: skip
    rows = [
        [Cell(group), Cell(by_id[group].name, code=True), Cell(f"{by_id[group].size:,}"),
         Cell(value, title="" if value != "–" else "all scores are equal")]
        for group, value in values
    ]  # fmt: skip
    return Table(columns, rows)


def spread(scores: np.ndarray) -> str:
    """A histogram in one line."""
    counts, _ = np.histogram(scores, bins=_BINS)
    heights = np.ceil(counts / counts.max() * (len(_STEPS) - 1)).astype(int)
    return "".join(_STEPS[height] for height in heights)
