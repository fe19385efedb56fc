"""Blocks as plain text for terminals and screen readers, 80 columns at most."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Sequence

from spa_kernel.views.blocks import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Fold,
    Line,
    Picture,
    Points,
    Section,
    Table,
    Title,
)

WIDTH = 80
_GAP = "  "
_BAR = 10
_NARROWEST = 8


def draw(blocks: Sequence[Block], width: int = WIDTH) -> str:
    """Draw blocks below each other, an empty line between them."""
    drawn = (_block(block, width) for block in blocks if not isinstance(block, Picture))
    return "\n\n".join(map("\n".join, drawn))


def _block(block: Block, width: int) -> list[str]:
    match block:
        case Title(text, more) | Section(text, more):
            return [f"{text} · {more}" if more else text]
        case Facts(facts):
            return _facts(facts)
        case Table():
            return _table(block, width)
        case Line(text):
            return _wrap(text, width) or [""]
        case Points(items):
            return [line for item in items for line in _point(item, width)]
        case Fold(summary, blocks, head):
            lines = draw(blocks, width - 2).split("\n")
            rest = [f"  … {len(lines) - head} lines more"] if len(lines) > head + 1 else []
            shown = lines[:head] if rest else lines
            return [summary, *(f"  {line}".rstrip() for line in shown), *rest]
        case Picture():
            return []


def _point(item: str, width: int) -> list[str]:
    lines = _wrap(item, width - 4)
    return [f"{'  - ' if i == 0 else '    '}{line}" for i, line in enumerate(lines)]


def _wrap(text: str, width: int) -> list[str]:
    """Break between words only: names and options are copied from here."""
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _facts(facts: Sequence[Fact]) -> list[str]:
    wide = max((len(fact.label) for fact in facts), default=0)
    return [
        f"{fact.label:<{wide}}  {fact.value.text}{f'  ({fact.note})' if fact.note else ''}"
        for fact in facts
    ]


def _cell(cell: Cell) -> str:
    if cell.best:
        return f"*{cell.text}"
    if cell.share is None:
        return cell.text
    full = round(cell.share * _BAR)
    return f"{'█' * full}{'░' * (_BAR - full)} {cell.text}".rstrip()


def _table(table: Table, width: int) -> list[str]:
    marked = table.current is not None
    rows = [[_cell(cell) for cell in row] for row in table.rows]
    grid = [[column.title for column in table.columns], *rows]
    widths = _fit(
        [max(len(row[i]) for row in grid) for i in range(len(table.columns))],
        table.columns,
        width - (2 if marked else 0),
    )
    lines = []
    for number, row in enumerate(grid, start=-1):
        mark = ("▸ " if number == table.current else "  ") if marked else ""
        lines += [(mark + line).rstrip() for line in _row(row, widths, table.columns)]
    rule = _GAP.join("─" * width for width in widths)
    return [lines[0], f"  {rule}" if marked else rule, *lines[1:]]


def _fit(widths: list[int], columns: Sequence[Column], room: int) -> list[int]:
    """Take what is too much from the columns that can give, the widest first."""
    widths = list(widths)
    elastic = [i for i, column in enumerate(columns) if column.elastic or column.wraps]
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    while excess > 0 and elastic:
        widest = max(elastic, key=lambda i: widths[i])
        if widths[widest] <= _NARROWEST:
            break
        widths[widest] -= 1
        excess -= 1
    return widths


def _row(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> list[str]:
    entries = [
        _wrap(entry, width) if column.wraps else [_cut(entry, width)]
        for entry, width, column in zip(row, widths, columns, strict=True)
    ]
    lines = []
    for parts in itertools.zip_longest(*entries, fillvalue=""):
        lines.append(
            _GAP.join(
                part.rjust(width) if column.right else part.ljust(width)
                for part, width, column in zip(parts, widths, columns, strict=True)
            )
        )
    return lines


def _cut(entry: str, width: int) -> str:
    return entry if len(entry) <= width else entry[: width - 1] + "…"
