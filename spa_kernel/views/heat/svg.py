"""The heatmap as SVG, in two layers: what stays as it is, and what follows a plan.

A slider changes only the second one, which is small; the first one, with the colours, is neither
drawn nor sent again. This is for live views: GitHub takes inline SVG out, and an image cannot
follow the theme, so what is kept in a notebook's file is a PNG (`spa_kernel.views.heat.figure`).
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from html import escape
from io import BytesIO

import numpy as np

from spa_kernel.views.heat.scale import brief, colours
from spa_kernel.views.heat.sheet import BARS, Panel, Sheet, Strip
from spa_kernel.views.units import count

WIDTH = 720
TOP = 62
ROW = 17
HIGH = 12
LEFT = 216
ALONE = [(LEFT, 376)]
BESIDE = [(LEFT, 208), (LEFT + 218, 208)]
"""Left end and width of the colours of one panel, or two."""
GO = 640
SPREAD, SPREAD_WIDE = 654, 64
HOVERS = 1100
"""Places that tell their numbers on hover, in all."""
MARK = 0xD5, 0x5E, 0x00
"""Okabe and Ito's vermilion, which no colour of viridis comes near."""

STYLE = """
.spa-heat { display: block; width: 100%; min-width: 600px; max-width: 940px; height: auto;
  font: 11px var(--jp-ui-font-family, system-ui, sans-serif); }
.spa-heat text { fill: var(--jp-ui-font-color1, CanvasText); }
.spa-heat .soft { fill: var(--jp-ui-font-color2, GrayText); }
.spa-heat .code { font: 10px var(--jp-code-font-family, monospace); }
.spa-heat .end { text-anchor: end; }
.spa-heat .mid { text-anchor: middle; }
.spa-heat image { image-rendering: pixelated; }
.spa-heat .rim { fill: none; stroke: var(--jp-border-color1, GrayText); stroke-width: .6; }
.spa-heat .bars { fill: var(--jp-ui-font-color2, GrayText); }
.spa-heat .veil { fill: var(--jp-layout-color0, Canvas); fill-opacity: .3; }
.spa-heat .hatch { stroke: var(--jp-layout-color0, Canvas); stroke-opacity: .85;
  stroke-width: 12; stroke-dasharray: 1.1 2.9; }
.spa-heat .halo { stroke: var(--jp-layout-color0, Canvas); stroke-width: 4; }
.spa-heat .cut { stroke: #d55e00; stroke-width: 2; }
.spa-heat .hover { fill: transparent; pointer-events: all; }
.spa-heat .hover path:hover { stroke: var(--jp-ui-font-color1, CanvasText); stroke-width: 1; }
"""


def drawing(sheet: Sheet) -> str:
    """Both layers as one."""
    words = f"{sheet.words} {sheet.taken}" if sheet.planned else sheet.words
    return frame(sheet, _base(sheet) + _marks(sheet), words)


def base(sheet: Sheet) -> str:
    """The layer that does not depend on what the plan takes."""
    return frame(sheet, _base(sheet), sheet.words)


def marks(sheet: Sheet) -> str:
    """The layer that shows what the plan takes, to be put upon the other."""
    return frame(sheet, _marks(sheet), sheet.taken if sheet.planned else "")


def frame(sheet: Sheet, content: str, words: str) -> str:
    """The element itself."""
    high = TOP + ROW * len(sheet.panels[0].strips) + 2
    label = f'role="img" aria-label="{escape(words)}"' if words else 'aria-hidden="true"'
    return (
        f'<svg class="spa-heat" xmlns="http://www.w3.org/2000/svg" {label} '
        f'viewBox="0 0 {WIDTH} {high}"><style>{" ".join(STYLE.split())}</style>{content}</svg>'
    )


def _places(sheet: Sheet) -> list[tuple[int, int]]:
    return ALONE if len(sheet.panels) == 1 else BESIDE


def _base(sheet: Sheet) -> str:
    parts = [*_head(sheet)]
    for number, strip in enumerate(sheet.panels[0].strips):
        row, y = strip.row, TOP + ROW * number
        text = y + 10
        name = escape(row.name)
        parts.append(
            f'<text x="0" y="{text}">{escape(row.group)}</text>'
            f'<text x="32" y="{text}" class="code">{escape(strip.ending)}'
            f"<title>{name}</title></text>"
            f'<text x="{LEFT - 8}" y="{text}" class="end">{strip.channels}</text>'
        )
        if sheet.agreement is None:
            parts.append(_bars(strip, y))
        else:
            parts.append(_agreement(sheet.agreement.groups.get(row.group), y))
    for panel, (x, wide) in zip(sheet.panels, _places(sheet), strict=True):
        for number, strip in enumerate(panel.strips):
            y = TOP + ROW * number
            parts.append(
                _image(_png(colours(strip.colours())), x, y, wide, HIGH)
                + f'<rect class="rim" x="{x}" y="{y}" width="{wide}" height="{HIGH}"/>'
                + _hovers(sheet, strip, x, y, wide, marked=False)
            )
    return "".join(parts)


def _head(sheet: Sheet) -> Iterator[str]:
    """The colour bar, and what the columns are."""
    panel = sheet.panels[0]
    by = f"Score by {panel.criterion}" if panel.criterion else "Score"
    if len(sheet.panels) == 2:
        by = "Colours"
    yield f'<text x="0" y="11">{escape(by)}</text>'
    yield f'<text x="0" y="24" class="soft">{escape(panel.words)}</text>'
    yield from _colour_bar(panel)
    low, high = ("first", "last") if sheet.in_place else ("lowest", "highest")
    y = TOP - 6
    yield f'<text x="0" y="{y}" class="soft">Group</text>'
    yield f'<text x="{LEFT - 8}" y="{y}" class="soft end">Channels</text>'
    for each, (x, wide) in zip(sheet.panels, _places(sheet), strict=True):
        if sheet.agreement is not None:
            name = each.criterion if each is panel else f"{each.criterion}, in the same order"
            yield f'<text x="{x}" y="{y}" class="soft">{escape(name)}</text>'
            continue
        yield f'<text x="{x}" y="{y}" class="soft">{low} score</text>' * (not sheet.in_place)
        yield f'<text x="{x}" y="{y}" class="soft">{low} channel</text>' * sheet.in_place
        what = "channel" if sheet.in_place else "score"
        yield f'<text x="{x + wide}" y="{y}" class="soft end">{high} {what}</text>'
    if sheet.agreement is None:
        yield f'<text x="{SPREAD}" y="{y}" class="soft">Spread</text>'
    else:
        yield f'<text x="{WIDTH - 4}" y="{y}" class="soft end">Agree'
        yield "<title>Spearman's rank correlation: 1 where both rank alike</title></text>"


def _colour_bar(panel: Panel) -> Iterator[str]:
    x, wide = ALONE[0]
    yield _image(_png(colours(np.linspace(0, 1, 64))), x, 3, wide, 8)
    yield f'<rect class="rim" x="{x}" y="3" width="{wide}" height="8"/>'
    for place, label in panel.ticks():
        side = "" if place == 0 else " end" if place == 1 else " mid"
        yield f'<text x="{x + place * wide:g}" y="23" class="soft{side}">{label}</text>'


def _bars(strip: Strip, y: int) -> str:
    """The distribution of the scores over the scale."""
    step = SPREAD_WIDE / BARS
    path = "".join(f"V{y + HIGH * (1 - h):.1f}h{step:.2f}" for h in strip.heights())
    row = strip.row
    low, middle, high = np.quantile(row.scores, [0, 0.5, 1])
    return (
        f'<path class="bars" d="M{SPREAD} {y + HIGH}{path}V{y + HIGH}z"/>'
        f'<g class="hover"><path d="M{SPREAD} {y}h{SPREAD_WIDE}v{HIGH}h-{SPREAD_WIDE}z"><title>'
        f"How the scores of {escape(row.group)} are spread: lowest {brief(low)}, "
        f"median {brief(middle)}, highest {brief(high)}</title></path></g>"
    )


def _agreement(value: float | None, y: int) -> str:
    text = "–" if value is None else f"{value:.2f}"
    return f'<text x="{WIDTH - 4}" y="{y + 10}" class="end">{text}</text>'


def _marks(sheet: Sheet) -> str:
    if not sheet.planned:
        return ""
    parts = [f'<text x="0" y="36" class="soft">{sheet.goes}</text>']
    if sheet.agreement is None:
        parts.append(f'<text x="{GO}" y="{TOP - 6}" class="soft end">Go</text>')
    for place, panel in enumerate(sheet.panels):
        x, wide = _places(sheet)[place]
        for number, strip in enumerate(panel.strips):
            y = TOP + ROW * number
            going = strip.row.going
            if sheet.agreement is None:
                parts.append(f'<text x="{GO}" y="{y + 10}" class="end">{going or "–"}</text>')
            if going:
                parts.append(_taken(strip, x, y, wide))
                parts.append(_hovers(sheet, strip, x, y, wide, marked=True))
    return "".join(parts)


def _taken(strip: Strip, x: int, y: int, wide: int) -> str:
    """A veil up to the cut line; where there is no one line, marks below what goes."""
    cut = strip.cut
    if cut is None:
        share = strip.going()
        ink = np.empty((len(share), 4), dtype=np.uint8)
        ink[:, :3] = MARK
        # What goes alone among many that stay must not fade away.
        ink[:, 3] = np.where(share > 0, 100 + 155 * share, 0)
        return _image(_png(ink), x, y + HIGH, wide, 3.4)
    end = round(x + cut * wide, 1)
    line = f'd="M{end} {y - 1.5}v{HIGH + 3}"'
    return (
        f'<path class="veil" d="M{x} {y}H{end}v{HIGH}H{x}z"/>'
        f'<path class="hatch" d="M{x} {y + HIGH / 2}H{end}"/>'
        f'<path class="halo" {line}/><path class="cut" {line}/>'
    )


def _hovers(sheet: Sheet, strip: Strip, x: int, y: int, wide: int, marked: bool) -> str:
    """Invisible pieces that tell their numbers; ``marked`` are those of which something goes."""
    rows = sum(len(panel.strips) for panel in sheet.panels)
    edges = strip.edges(min(max(HOVERS // rows, 8), 64))
    row, order = strip.row, strip.order
    scores = row.scores[order]
    starts = edges[:-1]
    low, high = np.minimum.reduceat(scores, starts), np.maximum.reduceat(scores, starts)
    gone = None if row.gone is None else np.add.reduceat(row.gone[order].astype(int), starts)
    parts = []
    for i, (start, end) in enumerate(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)):
        if marked and (gone is None or not gone[i]):
            continue
        left, span = x + wide * start / row.size, wide * (end - start) / row.size
        text = f"{_channels(strip, start, end)}: {brief(low[i])}"
        if brief(high[i]) != brief(low[i]):
            text += f" to {brief(high[i])}"
        if marked and gone is not None:
            text += " · goes" if end - start == 1 else (
                " · all go" if gone[i] == end - start else f" · {gone[i]} of {end - start} go"
            )  # fmt: skip
        elif sheet.planned:
            text += f" · {'stays' if end - start == 1 else 'stay'}"
        parts.append(
            f'<path d="M{left:.1f} {y}h{span:.1f}v{HIGH}h-{span:.1f}z"><title>{text}</title></path>'
        )
    return f'<g class="hover">{"".join(parts)}</g>'


def _channels(strip: Strip, start: int, end: int) -> str:
    """Which channels a piece stands for."""
    if end - start == 1:
        return f"channel {strip.order[start]}"
    if strip.in_place:
        return f"channels {start}–{end - 1}"
    if end - start <= 4:
        return "channels " + ", ".join(map(str, sorted(strip.order[start:end].tolist())))
    return f"{count(end - start, 'channel')}, rank {start + 1}–{end}"


def _image(content: str, x: float, y: float, wide: float, high: float) -> str:
    return (
        f'<image x="{x}" y="{y}" width="{wide}" height="{high}" preserveAspectRatio="none" '
        f'href="data:image/png;base64,{content}"/>'
    )


def _png(pixels: np.ndarray) -> str:
    """One line of pixels as the base64 text of a PNG."""
    from matplotlib.image import imsave

    file = BytesIO()
    imsave(file, pixels[None], format="png")
    return b64encode(file.getvalue()).decode()
