"""What commands return where the session itself has no object for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spa_kernel.views import Rich, describe
from spa_kernel.views.blocks import Block, Cell, Column, Line, Table, Title
from spa_kernel.views.session_view import LAYER, frozen_blocks, group_blocks
from spa_kernel.views.units import amount, factor, short

_STEPS = " ▁▂▃▄▅▆▇█"
_BINS = 16
_ASKED = {
    "nothing": "weights only",
    "inputs": "data, or inputs made from the network",
    "data": "data",
    "labels": "data with targets, a loss",
}


@dataclass(frozen=True)
class Groups(Rich):
    """``%spa_show net groups``."""

    session: Any


@dataclass(frozen=True)
class Cost(Rich):
    """``%spa_show net cost``."""

    session: Any


@dataclass(frozen=True)
class Importance(Rich):
    """``%spa_show net importance``; ``scores`` by group id."""

    session: Any
    criterion: str
    scores: Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Criteria(Rich):
    """``%spa_criteria``."""

    criteria: Mapping[str, Any]


@dataclass(frozen=True)
class Written(Rich):
    """A file that was written."""

    path: Path
    what: str


@describe.register
def _(groups: Groups) -> list[Block]:
    session = groups.session
    return [
        Title(f"Groups of {session.name}"),
        *group_blocks(session.groups),
        *frozen_blocks(session),
    ]


@describe.register
def _(cost: Cost) -> list[Block]:
    session = cost.session
    base, now = next(iter(session.history)), session.cost
    columns = [
        Column(""),
        Column("At first", right=True),
        Column("Now", right=True),
        Column("÷", right=True),
    ]
    rows = [
        [Cell(name), amount(before), amount(after), Cell(factor(before, after))]
        for name, before, after in (
            ("FLOPs", base.flops, now[0]),
            ("Parameters", base.params, now[1]),
        )
    ]
    return [Title(f"Cost of {session.name}"), Table(columns, rows)]


@describe.register
def _(importance: Importance) -> list[Block]:
    names = {group.id: group.name for group in importance.session.groups}
    columns = [
        Column("Group"),
        LAYER,
        Column("Channels", right=True),
        Column("Lowest", right=True),
        Column("Median", right=True),
        Column("Highest", right=True),
        Column("How many, low to high", help="how the scores are spread from lowest to highest"),
    ]
    rows = [
        [
            Cell(group),
            Cell(names.get(group, ""), code=True),
            Cell(f"{len(scores):,}"),
            *(Cell(f"{score:.3g}") for score in np.quantile(scores, [0, 0.5, 1])),
            Cell(_spread(scores), code=True),
        ]
        for group, scores in importance.scores.items()
    ]
    return [Title(f"Importance of {importance.session.name}", f"by {importance.criterion}"),
            Table(columns, rows)]  # fmt: skip


def _spread(scores: np.ndarray) -> str:
    """A histogram in one line."""
    counts, _ = np.histogram(scores, bins=_BINS)
    heights = np.ceil(counts / counts.max() * (len(_STEPS) - 1)).astype(int)
    return "".join(_STEPS[height] for height in heights)


@describe.register
def _(criteria: Criteria) -> list[Block]:
    columns = [Column("Criterion"), Column("What it is", wraps=True), Column("Needs")]
    rows = [
        [
            Cell(name, code=True),
            Cell(entry.summary),
            Cell(_ASKED[entry.asks], title=", ".join(entry.needs)),
        ]
        for name, entry in criteria.criteria.items()
    ]
    return [
        Title("Criteria", "how a channel's importance is estimated"),
        Table(columns, rows),
        Line("Use one with %spa_prune MODEL --criterion NAME.", tone="muted"),
    ]


@describe.register
def _(written: Written) -> list[Block]:
    return [Line(f"{written.what} written to {written.path} "
                 f"({short(written.path.stat().st_size)}B)")]  # fmt: skip
