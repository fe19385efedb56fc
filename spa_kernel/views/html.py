"""Blocks as HTML that follows JupyterLab's theme; all text is escaped here and nowhere else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from html import escape

from spa_kernel.views.blocks import (
    PIXELS,
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
from spa_kernel.views.style import STYLE

_LONG = 14
"""Rows beyond which a table scrolls."""


def draw(blocks: Sequence[Block]) -> str:
    """Draw blocks below each other, with the style they need."""
    return f'<div class="spa-view"><style>{STYLE}</style>{_blocks(blocks)}</div>'


def _blocks(blocks: Sequence[Block]) -> str:
    return "".join(_block(block) for block in blocks)


def _block(block: Block) -> str:
    match block:
        case Title(text, more):
            tail = f' <span class="spa-muted">{escape(more)}</span>' if more else ""
            return f'<div class="spa-title"><strong>{escape(text)}</strong>{tail}</div>'
        case Section(text, more, code):
            tail = f' <span class="spa-muted">{escape(more)}</span>' if more else ""
            name = _code(text) if code else escape(text)
            return f'<div class="spa-section">{name}{tail}</div>'
        case Facts(facts):
            return f'<div class="spa-facts">{"".join(_fact(fact) for fact in facts)}</div>'
        case Table():
            return _table(block)
        case Line(text, tone):
            return f'<div class="spa-line spa-{tone}">{escape(text)}</div>'
        case Points(items):
            points = "".join(f"<li>{escape(item)}</li>" for item in items)
            return f'<ul class="spa-points">{points}</ul>'
        case Fold(summary, blocks):
            return (
                f'<details class="spa-fold"><summary>{escape(summary)}</summary>'
                f"{_blocks(blocks)}</details>"
            )
        case Picture(draw, words):
            return (
                f'<img class="spa-picture" width="{PIXELS}" alt="{escape(words)}" '
                f'src="data:image/png;base64,{b64encode(draw()).decode()}">'
            )


def _fact(fact: Fact) -> str:
    note = f'<span class="spa-note">{escape(fact.note)}</span>' if fact.note else ""
    return (
        f'<div class="spa-fact"><div class="spa-label">{escape(fact.label)}</div>'
        f'<div class="spa-value spa-{fact.value.tone}"{_hover(fact.value.title)}>'
        f"{escape(fact.value.text)}{note}</div></div>"
    )


def _code(text: str) -> str:
    # not <code>: JupyterLab would put each of them in a grey box
    return f'<span class="spa-code">{escape(text)}</span>'


def _hover(title: str) -> str:
    return f' title="{escape(title)}"' if title else ""


def _table(table: Table) -> str:
    head = "".join(
        f'<th scope="col"{_class(column)}{_hover(column.help)}>{escape(column.title)}</th>'
        for column in table.columns
    )
    body = "".join(
        f"<tr{_current(i == table.current)}>"
        + "".join(_cell(cell, column) for cell, column in zip(row, table.columns, strict=True))
        + "</tr>"
        for i, row in enumerate(table.rows)
    )
    scroll = " spa-scroll" if len(table.rows) > _LONG else ""
    return (
        f'<div class="spa-frame{scroll}"><table class="spa-table">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _class(column: Column) -> str:
    return ' class="spa-right"' if column.right else ""


def _current(current: bool) -> str:
    return ' class="spa-current" aria-current="true"' if current else ""


def _cell(cell: Cell, column: Column) -> str:
    text = escape(cell.text)
    if cell.code:
        text = _code(cell.text)
    if cell.items:
        items = "".join(f"<li>{_code(item)}</li>" for item in cell.items)
        text = f"<details><summary>{text}</summary><ul>{items}</ul></details>"
    if cell.share is not None:
        text = _bar(cell.share) + text
    names = [
        name
        for name, wanted in {
            "spa-right": column.right,
            "spa-share": cell.share is not None,
            "spa-best": cell.best,
            f"spa-{cell.tone}": cell.tone != "plain",
        }.items()
        if wanted
    ]
    kind = f' class="{" ".join(names)}"' if names else ""
    return f"<td{kind}{_heat(cell.heat)}{_hover(cell.title)}>{text}</td>"


def _heat(heat: float | None) -> str:
    """Orange, pale enough for the text of a light and of a dark theme."""
    if heat is None:
        return ""
    return f' style="background: rgba(230, 120, 0, {min(max(heat, 0.0), 1.0) * 0.55:.2f})"'


def _bar(share: float) -> str:
    percent = min(max(share, 0.0), 1.0) * 100
    return (
        '<span class="spa-bar" aria-hidden="true">'
        f'<span style="width:{percent:.1f}%"></span></span>'
    )
