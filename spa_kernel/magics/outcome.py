"""What commands return where the session itself has no object for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spa_kernel.views import Rich, describe
from spa_kernel.views.blocks import Block, Cell, Column, Line, Table, Title
from spa_kernel.views.units import short

_ASKED = {
    "nothing": "weights only",
    "inputs": "data, or inputs made from the network",
    "data": "data",
    "labels": "data with targets, a loss",
}


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
