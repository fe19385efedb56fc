"""What pruning has gained, as measured."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa_kernel.views.blocks import Block, Cell, Column, Line, Table, Title
from spa_kernel.views.units import amount, factor

if TYPE_CHECKING:
    from spa_kernel.session.measure import Measurement
    from spa_kernel.session.timed import Latency

COLUMNS = [
    Column("Measured", elastic=True),
    Column("At the start", right=True),
    Column("Now", right=True),
    Column("÷", right=True, help="how many times less"),
    Column("±", right=True, help="standard error of how many times less"),
]


def measurement_blocks(measurement: Measurement) -> list[Block]:
    """One row per quantity."""
    rows = [_latency(by, found) for by, found in measurement.latency.items()]
    rows += [
        _bytes("Size on disk", *measurement.size),
        _bytes("Peak activation memory", *measurement.memory),
    ]
    return [
        Title(measurement.name, "measured on this machine, with the example input"),
        Table(COLUMNS, rows),
        *(Line(note, tone="muted") for note in measurement.notes),
    ]


def _latency(by: str, found: Latency) -> list[Cell]:
    runs = f"{found.runs} pairs of runs, in turns"
    return [
        Cell(f"Latency, {by}", title=runs),
        milliseconds(found.before),
        milliseconds(found.after),
        Cell(f"{found.factor:.2f}", title=f"{found.factor!r}"),
        Cell(f"{found.factor * found.spread:.2f}", title=runs),
    ]


def milliseconds(seconds: float) -> Cell:
    """A duration to three digits."""
    short = f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1000:.3g} ms"
    return Cell(short, title=f"{seconds!r} s")


def _bytes(what: str, before: int, after: int) -> list[Cell]:
    return [Cell(what), size(before), size(after), Cell(factor(before, after)), Cell("")]


def size(number: int) -> Cell:
    """Bytes to three digits."""
    cell = amount(number, "bytes")
    return Cell(cell.text + "B", title=cell.title)
