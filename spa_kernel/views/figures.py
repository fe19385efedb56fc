"""Pictures of studies, drawn with matplotlib; black on white, so that any theme can show them."""

from __future__ import annotations

import textwrap
from io import BytesIO
from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from spa_kernel.views.blocks import PIXELS
from spa_kernel.views.units import count

if TYPE_CHECKING:
    from spa_kernel.studies import Sensitivity, Sweep

SIZE = 6.4, 4.0
"""Inches."""
COLOURS = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"
"""Okabe and Ito's, which people with any colour vision can tell apart; without yellow."""
MARKERS = "o", "s", "^", "D", "v", "P", "X", "*", "<", ">"
GREY = "#767676"
PALE = "#c4c4c4"
LABELLED = 6
"""Lines with a name and a colour of their own, where there are many."""
LETTERS = 20
"""In a line of the legend."""


class Drawing(Figure):
    """A figure that a notebook shows, whether or not pyplot was ever imported in it."""

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return png(self), {"width": PIXELS}


def png(figure: Figure) -> bytes:
    """A figure as the content of a PNG file, twice as fine as it is to be shown."""
    file = BytesIO()
    figure.savefig(file, format="png", dpi=2 * PIXELS / SIZE[0], facecolor="white")
    return file.getvalue()


def sensitivity_figure(found: Sensitivity) -> Figure:
    """The value against the ratio, a line per group."""
    figure, axes = empty()
    lines: dict[str, list[tuple[float, float]]] = {}
    names: dict[str, str] = {}
    for row in found.rows:
        names[row["group"]] = f"{row['group']} {ending(row['name'])}"
        if row["value"] is not None:
            lines.setdefault(row["group"], []).append((row["ratio"], row["value"]))
    ranking = [group for group in found.ranking() if group in lines]
    start = [] if found.baseline is None else [(0.0, found.baseline)]
    others = ranking[LABELLED:]
    for number, group in enumerate(others):
        label = count(len(others), "other group") if number == 0 else None
        xs, ys = zip(*start, *sorted(lines[group]), strict=True)
        axes.plot(xs, ys, color=PALE, linewidth=1, label=label, zorder=1.5)
    # The most sensitive one is drawn last, and is the first in the legend.
    for rank, group in reversed(list(enumerate(ranking[:LABELLED]))):
        xs, ys = zip(*start, *sorted(lines[group]), strict=True)
        axes.plot(
            xs, ys, color=COLOURS[rank], marker=MARKERS[rank], markersize=5, linewidth=1.5,
            label=names[group], zorder=3 - rank / 10,
        )  # fmt: skip
    level(axes, found.baseline)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    finish(figure, axes, "channels of the group that go", found.measure)
    return figure


def sweep_figure(found: Sweep) -> Figure:
    """Value against RF, a colour and a marker per criterion, and the front of what is best."""
    figure, axes = empty()
    front = found.pareto()
    # Many criteria have one line each, or the letters would be too small.
    letters = LETTERS if len(found.labels) <= LABELLED else 2 * LETTERS
    axes.plot(
        [row["rf"] for row in front], [row["value"] for row in front],
        color=PALE, linewidth=6, solid_capstyle="round", label="best", zorder=1.5,
    )  # fmt: skip
    for number, label in reversed(list(enumerate(found.labels))):
        own = [row for row in found.rows if row["label"] == label and row["value"] is not None]
        own.sort(key=lambda row: row["rf"])
        axes.plot(
            [row["rf"] for row in own], [row["value"] for row in own],
            color=COLOURS[number % len(COLOURS)], marker=MARKERS[number % len(MARKERS)],
            markersize=6, linewidth=0.8, zorder=3 - number / 100,
            label="\n".join(textwrap.wrap(label, letters, subsequent_indent="  ")),
        )  # fmt: skip
    level(axes, found.baseline)
    finish(figure, axes, "FLOPs before ÷ FLOPs after (RF)", found.measure)
    return figure


def empty() -> tuple[Figure, Axes]:
    """A figure that belongs to no window."""
    figure = Drawing(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)
    return figure, axes


def level(axes: Axes, baseline: float | None) -> None:
    """The value of the unpruned model."""
    if baseline is not None:
        axes.axhline(baseline, color=GREY, linewidth=1, linestyle="--", label="unpruned", zorder=1)


def finish(figure: Figure, axes: Axes, x: str, y: str) -> None:
    """Name the axes, and put the legend beside them, where it hides nothing."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    # Groups and criteria were drawn in reverse; what they are compared with comes last.
    coloured = [line for line in lines if line.get_color() not in (PALE, GREY)]
    others = [line for line in lines if line.get_color() in (PALE, GREY)]
    # Lines of text, and half a line between two entries.
    rows = sum(1.7 + 1.2 * str(line.get_label()).count("\n") for line in lines)
    figure.legend(
        handles=[*reversed(coloured), *others],
        loc="outside right upper",
        frameon=False,
        fontsize=min(8.5, 0.95 * SIZE[1] * 72 / max(rows, 1)),
    )


def ending(name: str) -> str:
    """The end of a name that is too long for the legend: it tells more than the start."""
    return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :].lstrip('.')}"
