"""The session, its groups, what is frozen, and its history."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from spa_kernel.views.blocks import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Fold,
    Line,
    Picture,
    Table,
    Title,
)
from spa_kernel.views.units import amount, count, factor, seconds

if TYPE_CHECKING:
    from spa_kernel.coupling.result import Group
    from spa_kernel.session import History, Session
    from spa_kernel.session.history import Step

LAYER = Column("Layer", elastic=True, help="the layer whose output channels these are")


def session_blocks(session: Session) -> list[Block]:
    """The totals, the groups, and what to do next."""
    flops, params = session.cost
    prunable = [group for group in session.groups if group.prunable]
    frozen = len(session.groups) - len(prunable)
    note = f"{frozen} cannot go" if frozen else ""
    at = f"{session.framework}, {_place(session.history)}"
    return [
        Title(session.name, at),
        Facts(
            [
                Fact("Parameters", amount(params)),
                Fact("FLOPs", amount(flops)),
                Fact("Prunable groups", Cell(str(len(prunable))), note),
                Fact("Channels in them", Cell(f"{sum(group.size for group in prunable):,}")),
            ]
        ),
        *group_blocks(session.groups),
        *frozen_blocks(session),
        *(Line(note, tone="muted") for note in session.notes),
        Line(
            f"Next: %spa_explain {session.name} LAYER, or %spa_prune {session.name} --flops 2 "
            "--dry-run",
            tone="muted",
        ),
    ]


def summary_blocks(session: Session) -> list[Block]:
    """The same, with the coupling graph as a picture below the totals."""
    title, facts, *rest = session_blocks(session)
    words = f"Coupling graph of {session.name}: the groups, and the flow of data between them"
    return [title, facts, Picture(partial(_graph, session), words), *rest]


def _graph(session: Session) -> bytes:
    # matplotlib is loaded only where there is a picture to draw.
    from spa_kernel.views.figures import png
    from spa_kernel.views.overview.figure import overview_figure

    return png(overview_figure(session))


def _place(history: History) -> str:
    done = history.position
    return f"after {count(done, 'prune')}" if done else "not pruned"


COUPLED = (
    "coupled channels: each can go on its own. 12 × 64: each of 12 blocks (heads, groups of a "
    "convolution) chooses among its own 64, and all blocks lose equally many"
)


def group_blocks(groups: Sequence[Group]) -> list[Block]:
    """The prunable groups as a table."""
    prunable = [group for group in groups if group.prunable]
    if not prunable:
        return [Line("Nothing in this model can be pruned.", tone="bad")]
    columns = [
        Column("Group"),
        LAYER,
        Column("Channels", right=True, help=COUPLED),
        Column("Cut together", elastic=True, help="tensor and axis that lose an index with each"),
    ]
    rows = [
        [
            Cell(group.id),
            Cell(group.name, code=True),
            Cell(sized(group)),
            Cell(
                count(len(group.members), "axis", "axes"),
                items=[f"{name}, axis {axis}" for name, axis in group.members],
            ),
        ]
        for group in prunable
    ]
    return [Table(columns, rows)]


def sized(group: Group) -> str:
    """How many channels a group has, and in how many blocks."""
    if group.blocks == 1:
        return f"{group.size:,}"
    return f"{group.size:,} = {group.blocks} × {group.size // group.blocks}"


def frozen_blocks(session: Session) -> list[Block]:
    """What cannot go, and why."""
    frozen = list(session.frozen)
    if not frozen:
        return []
    columns = [
        Column("Group"),
        LAYER,
        Column("Channels", right=True),
        Column("Parameters", right=True, help="parameters that these channels hold in place"),
        Column("Why they stay", wraps=True),
    ]
    rows = [
        [
            Cell(entry.group),
            Cell(entry.name, code=True),
            Cell(f"{entry.size:,}"),
            amount(entry.params),
            Cell(entry.reason),
        ]
        for entry in frozen
    ]
    summary = f"{count(len(frozen), 'group')} cannot go, and why"
    return [Fold(summary, [Table(columns, rows)])]


def history_blocks(history: History) -> list[Block]:
    """The steps, with a mark at the one where the model stands."""
    steps = list(history)
    base = steps[0]
    names = list(dict.fromkeys(name for step in steps for name in step.values))
    columns = [
        Column("Step", right=True),
        Column("What", wraps=True),
        Column("FLOPs", right=True),
        Column("÷", right=True, help="times cheaper than at first"),
        Column("Parameters", right=True),
        Column("÷", right=True, help="times smaller than at first"),
        *(Column(name, right=True, help="as recorded") for name in names),
        Column("Time", right=True),
    ]
    rows, current = [], 0
    for row, step in enumerate(steps):
        current = row if step.current else current
        undone = row > history.position
        rows.append(
            [
                Cell(str(step.index)),
                Cell(
                    step.label + (" – undone" if undone else ""),
                    tone="muted" if undone else "plain",
                ),
                amount(step.flops),
                Cell(factor(base.flops, step.flops)),
                amount(step.params),
                Cell(factor(base.params, step.params)),
                *(recorded(step, name) for name in names),
                Cell(seconds(step.seconds) if row else ""),
            ]
        )
    return [
        Title("History", _place(history)),
        Table(columns, rows, current=current),
    ]


def recorded(step: Step, name: str) -> Cell:
    """What was measured of a step, if it was."""
    value = step.values.get(name)
    return Cell("") if value is None else Cell(f"{value:.4g}", title=repr(value))
