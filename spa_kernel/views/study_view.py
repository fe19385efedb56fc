"""A sensitivity and a sweep: a table of values, and the picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from spa_kernel.views.blocks import Block, Cell, Column, Fold, Line, Picture, Points, Table, Title
from spa_kernel.views.session_view import LAYER
from spa_kernel.views.units import count, seconds

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spa_kernel.studies import Sensitivity, Sweep

Rows = Sequence[dict[str, Any]]


def sensitivity_blocks(found: Sensitivity) -> list[Block]:
    """Groups and ratios; what changes the value most comes first and is shaded."""
    shown = numbers([found.baseline, *(row["value"] for row in found.rows)])
    ratios = list(dict.fromkeys(row["ratio"] for row in found.rows))
    cells = {(row["group"], row["ratio"]): row for row in found.rows}
    first = {row["group"]: row for row in reversed(found.rows)}
    most = max((distance(found, row) for row in found.rows), default=0.0)
    columns = [
        Column("Group"),
        LAYER,
        Column("Channels", right=True),
        *(Column(f"{ratio:.0%}", right=True, help="fraction that goes") for ratio in ratios),
    ]
    table = []
    for group in found.ranking():
        line = [
            Cell(group),
            Cell(first[group]["name"], code=True),
            Cell(f"{first[group]['channels']:,}"),
        ]
        for ratio in ratios:
            row = cells.get((group, ratio))
            line.append(entry(row, shown, found, most))
        table.append(line)
    before = f"; {shown(found.baseline)} unpruned" if found.baseline is not None else ""
    tied = {row["group"]: row["together"] for row in found.rows if row["together"]}
    notes = [f"{group} takes {', '.join(others)} along" for group, others in tied.items()]
    blocks: list[Block] = [
        Title("Sensitivity", f"{found.measure} where one group alone is pruned, by "
              f"{found.criterion}{before}"),
        *interruption(found),
        Table(columns, table),
    ]  # fmt: skip
    if notes:
        blocks.append(Line(f"A condition on counts ties groups: {'; '.join(notes)}.", tone="muted"))
    return [*blocks, *refusals(found.rows, "group", "ratio"), *picture(found, found.figure)]


def sweep_blocks(found: Sweep) -> list[Block]:
    """Criteria and targets, the best of each column marked."""
    shown = numbers([found.baseline, *(row["value"] for row in found.rows)])
    cells = {(row["label"], row["target"]): row for row in found.rows}
    best = [found.best(target) for target in found.targets]
    columns = [
        Column("Criterion", wraps=True),
        *(Column(target, right=True) for target in found.targets),
    ]
    table = []
    for label in found.labels:
        line = [Cell(label)]
        for target, winner in zip(found.targets, best, strict=True):
            row = cells.get((label, target))
            line.append(point(row, shown, row is not None and row is winner))
        table.append(line)
    before = f"; {shown(found.baseline)} unpruned" if found.baseline is not None else ""
    better = "larger" if found.larger_is_better else "smaller"
    return [
        Title("Sweep", f"{found.measure}, {better} is better{before}"),
        *interruption(found),
        Table(columns, table),
        *refusals(found.rows, "label", "target"),
        *picture(found, found.figure),
    ]


def entry(
    row: dict[str, Any] | None, shown: Callable[[float], str], found: Sensitivity, most: float
) -> Cell:
    """One value of a sensitivity."""
    if row is None:
        return Cell("")
    if row["value"] is None:
        return Cell("–", title=row["error"], tone="muted")
    left = f"{count(row['left'], 'channel')} left of {row['channels']:,}"
    heat = distance(found, row) / most if most else None
    return Cell(shown(row["value"]), title=left, heat=heat)


def point(row: dict[str, Any] | None, shown: Callable[[float], str], best: bool) -> Cell:
    """One value of a sweep."""
    if row is None:
        return Cell("")
    if row["value"] is None:
        return Cell("–", title=row["error"], tone="muted")
    more = f"RF {row['rf']:.2f}, RP {row['rp']:.2f}, {seconds(row['seconds'])}"
    return Cell(shown(row["value"]), title=more, best=best)


def distance(found: Sensitivity, row: dict[str, Any]) -> float:
    """How far a value is from that of the unpruned model."""
    if row["value"] is None or found.baseline is None:
        return 0.0
    return abs(float(row["value"]) - found.baseline)


def interruption(found: Sensitivity | Sweep) -> list[Block]:
    """That points are missing, if they are."""
    if found.complete:
        return []
    return [Line(f"{len(found.rows)} of {count(found.total, 'point')}, interrupted.", tone="bad")]


def refusals(rows: Rows, *keys: str) -> list[Block]:
    """Which points have no value, and why; those of one reason together."""
    failed = [row for row in rows if row["value"] is None]
    if not failed:
        return []
    why: dict[str, list[str]] = {}
    for row in failed:
        why.setdefault(row["error"], []).append(" at ".join(str(row[key]) for key in keys))
    told = [f"{'; '.join(names)}: {error}" for error, names in why.items()]
    summary = f"{count(len(failed), 'point has', 'points have')} no value, and why"
    return [Fold(summary, [Points(told)])]


def picture(found: Sensitivity | Sweep, figure: Callable[[], Figure]) -> list[Block]:
    """The figure, if there is anything to draw."""
    if not any(row["value"] is not None for row in found.rows):
        return []
    words = f"{type(found).__name__}: the numbers of the table above as a picture"
    return [Picture(partial(drawn, figure), words)]


def drawn(figure: Callable[[], Figure]) -> bytes:
    """A figure as a PNG."""
    # matplotlib is loaded only where there is a picture to draw.
    from spa_kernel.views.figures import png

    return png(figure())


def numbers(values: Sequence[float | None]) -> Callable[[float], str]:
    """Four digits of the largest value, and as many decimals for all others."""
    largest = max((abs(value) for value in values if value), default=1.0)
    decimals = 3 - math.floor(math.log10(largest))
    if decimals > 6:
        return "{:.3g}".format
    return f"{{:.{max(decimals, 0)}f}}".format
