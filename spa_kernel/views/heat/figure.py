"""The heatmap drawn with matplotlib, for what is kept: reports, GitHub, nbconvert, a dead kernel.

A PNG on white shows in each of these and in any theme; inline SVG does not (GitHub removes it),
and an SVG image cannot know the theme.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure

from spa_kernel.views.figures import COLOURS, GREY, SIZE, Drawing
from spa_kernel.views.heat.scale import colours, palette
from spa_kernel.views.heat.sheet import BARS, FINEST, LETTERS, Panel, Sheet

ROW = 0.19
"""Inches of a row."""
FILL = 0.76
"""Part of it that is coloured."""
ABOVE, BELOW = 0.2, 0.6
"""Inches for titles, and for the colour bar."""
CUT = COLOURS[1]


def heat_figure(sheet: Sheet) -> Figure:
    """A page of rows; see `spa_kernel.views.heat.sheet`.

    Parameters
    ----------
    sheet : Sheet
    """
    rows = len(sheet.panels[0].strips)
    high = ROW * rows + ABOVE + BELOW
    # All sizes are known, and working out a layout would take as long as the drawing.
    figure = Drawing(figsize=(SIZE[0], high))
    wide = [3.3] * len(sheet.panels) + [0.75]
    grid = figure.add_gridspec(
        1, len(wide), width_ratios=wide, left=0.315, right=0.985, top=1 - ABOVE / high,
        bottom=BELOW / high, wspace=0.06,
    )  # fmt: skip
    first: Axes | None = None
    for column, panel in enumerate(sheet.panels):
        axes = figure.add_subplot(grid[0, column], sharey=first)
        _strips(axes, panel, sheet, labels=first is None)
        first = first or axes
    last = figure.add_subplot(grid[0, -1], sharey=first)
    if sheet.agreement is None:
        _spread(last, sheet.panels[0])
    else:
        _agreement(last, sheet)
    _colour_bar(figure, high, sheet)
    return figure


def _strips(axes: Axes, panel: Panel, sheet: Sheet, labels: bool) -> None:
    rows = len(panel.strips)
    image = np.full((rows, FINEST, 3), 255, dtype=np.uint8)
    for number, strip in enumerate(panel.strips):
        found = strip.colours()
        image[number] = colours(found)[np.arange(FINEST) * len(found) // FINEST]
    axes.imshow(
        image, extent=(0, 1, rows - 0.5, -0.5), aspect="auto", interpolation="nearest", zorder=1
    )
    # Rows stand apart.
    axes.hlines(
        np.arange(rows + 1) - 0.5, -0.01, 1.01, color="white", linewidth=72 * ROW * (1 - FILL),
        zorder=2,
    )  # fmt: skip
    if sheet.planned:
        _cuts(axes, panel)
    axes.set_xlim(-0.004, 1.004)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=7)
    axes.set_xticks([])
    small: dict[str, Any] = {"fontsize": 7, "color": GREY}
    low, high = ("first", "last") if sheet.in_place else ("lowest", "highest")
    if len(sheet.panels) == 1:
        axes.set_title(low, loc="left", pad=3, **small)
        axes.set_title(high, loc="right", pad=3, **small)
    else:
        axes.set_title(panel.criterion + ("" if labels else ", in the same order"), pad=3, **small)
    if labels:
        names = [f"{s.row.group:<5}{s.ending:<{LETTERS}} {s.channels:>6}" for s in panel.strips]
        axes.set_yticks(range(rows), names, family="monospace", fontsize=6.5)
    else:
        axes.tick_params(labelleft=False)


def _cuts(axes: Axes, panel: Panel) -> None:
    """What goes of each row: veiled up to a line, or marked below where there is no one line."""
    cuts = {n: s.cut for n, s in enumerate(panel.strips) if s.row.going and s.cut is not None}
    rows, ends = np.array(list(cuts)), np.array(list(cuts.values()))
    veils = [[(0, n - FILL / 2), (0, n + FILL / 2), (x, n + FILL / 2), (x, n - FILL / 2)]
             for n, x in cuts.items()]  # fmt: skip
    axes.add_collection(PolyCollection(veils, facecolors="white", alpha=0.35, zorder=3))
    axes.add_collection(
        PolyCollection(veils, facecolors="none", edgecolors="white", linewidths=0, hatch="/////",
                       zorder=3)
    )  # fmt: skip
    if cuts:
        for colour, width in (("white", 2.6), (CUT, 1.4)):
            axes.vlines(ends, rows - 0.46, rows + 0.46, color=colour, linewidth=width, zorder=5)
    for number, strip in enumerate(panel.strips):
        if strip.row.going and number not in cuts:
            share = strip.going()
            edges = np.linspace(0, 1, len(share) + 1)
            some = np.flatnonzero(share)
            axes.broken_barh(
                [(edges[i], edges[1]) for i in some], (number + FILL / 2, 0.2), linewidth=0,
                facecolors=[to_rgba(CUT, ink) for ink in 0.4 + 0.6 * share[some]], zorder=4,
            )  # fmt: skip


def _spread(axes: Axes, panel: Panel) -> None:
    """How the scores of each group are spread over the scale."""
    x = np.linspace(0, 1, BARS + 1)
    for number, strip in enumerate(panel.strips):
        axes.stairs(
            number + FILL / 2 - FILL * strip.heights(), x, baseline=number + FILL / 2,
            fill=True, color=GREY,
        )  # fmt: skip
    _bare(axes, "spread")
    axes.set_xlim(0, 1)


def _agreement(axes: Axes, sheet: Sheet) -> None:
    """Rank correlation of each group, as a bar and as a number."""
    assert sheet.agreement is not None
    for number, strip in enumerate(sheet.panels[0].strips):
        value = sheet.agreement.groups.get(strip.row.group)
        axes.barh(number, value or 0, height=FILL, color="#c4c4c4")
        text = "–" if value is None else f"{value:.2f}"
        axes.text(1, number, text, ha="right", va="center_baseline", fontsize=6.5)
    axes.axvline(0, color=GREY, linewidth=0.6)
    _bare(axes, "agreement")
    axes.set_xlim(-1, 1)


def _bare(axes: Axes, title: str) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelleft=False)
    axes.set_xticks([])
    axes.set_title(title, loc="right", fontsize=7, color=GREY, pad=3)


def _colour_bar(figure: Figure, high: float, sheet: Sheet) -> None:
    panel = sheet.panels[0]
    shown = [axes.get_position() for axes in figure.axes[: len(sheet.panels)]]
    left, right = shown[0].x0, shown[-1].x1
    axes = figure.add_axes((left, (BELOW - 0.18) / high, right - left, 0.1 / high))
    axes.imshow(palette()[None], extent=(0, 1, 0, 1), aspect="auto")
    axes.set_yticks([])
    places, labels = zip(*panel.ticks(), strict=True)
    axes.set_xticks(places, labels, fontsize=7)
    axes.tick_params(length=2)
    axes.spines[:].set_visible(False)
    by = f"score by {panel.criterion}, " if len(sheet.panels) == 1 and panel.criterion else ""
    plan = f"; {sheet.goes}" * sheet.planned
    axes.set_xlabel(f"{by}{panel.words}{plan}", fontsize=7.5)
