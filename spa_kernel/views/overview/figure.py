"""The coupling graph on paper; positions and meaning as in the live view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle
from matplotlib.path import Path

from spa_kernel.views.figures import SIZE, Drawing
from spa_kernel.views.overview.boxes import Arrow, Box, Overview, Place
from spa_kernel.views.overview.colours import EDGE, FILL, GONE, INK, PALE, WIRE
from spa_kernel.views.overview.filled import Filled, filled
from spa_kernel.views.overview.layout import lines
from spa_kernel.views.overview.network import overview

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session

TALLEST = 9.0
"""Inches."""


def overview_figure(shown: Session | Overview, plan: Plan | None = None) -> Figure:
    """Draw the groups of a session and the data flow between them.

    Parameters
    ----------
    shown : Session or Overview
    plan : Plan, optional
        Boxes are filled as far as it takes their channels away.

    Returns
    -------
    matplotlib.figure.Figure
    """
    found = shown if isinstance(shown, Overview) else overview(shown)
    left, right, top, bottom = extent(found)
    wide, tall = max(right - left, 1.0), max(bottom - top, 1.0)
    height = min(max(SIZE[0] * tall / wide, 1.0), TALLEST)
    figure = Drawing(figsize=(SIZE[0], height))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_aspect("equal")
    axes.set_axis_off()
    # Letters are given in points, boxes in pixels of the live view.
    points = 72 * min(SIZE[0] / wide, height / tall)
    for arrow in found.arrows:
        _draw_arrow(axes, found, arrow)
    shares = filled(found, plan)
    for box in found.boxes:
        _draw_box(axes, box, found.places[box.id], shares.get(box.id), points)
    return figure


def extent(found: Overview) -> tuple[float, float, float, float]:
    """Left, right, top and bottom of all that is drawn."""
    xs = [p.x + s * p.width / 2 for p in found.places.values() for s in (-1, 1)]
    ys = [p.y + s * p.height / 2 for p in found.places.values() for s in (-1, 1)]
    for corners in found.bends.values():
        xs.extend(x for x, _ in corners)
        ys.extend(y for _, y in corners)
    if not xs:
        return 0, 1, 0, 1
    return min(xs) - 12, max(xs) + 12, min(ys) - 12, max(ys) + 12


def _draw_box(axes: Axes, box: Box, place: Place, share: Filled | None, points: float) -> None:
    corner = place.x - place.width / 2, place.y - place.height / 2
    if box.kind == "repeat":
        axes.add_patch(
            FancyBboxPatch((corner[0] + 5, corner[1] + 5), place.width, place.height,
                           boxstyle="round,pad=0,rounding_size=5", facecolor="white",
                           edgecolor=EDGE[box.kind], linewidth=0.7, zorder=2)
        )  # fmt: skip
    outline = FancyBboxPatch(
        corner, place.width, place.height, boxstyle="round,pad=0,rounding_size=5",
        facecolor=PALE if box.frozen else FILL[box.kind],
        edgecolor=WIRE if box.frozen else EDGE[box.kind],
        linestyle="--" if box.frozen else "-", linewidth=0.9, zorder=3,
    )  # fmt: skip
    axes.add_patch(outline)
    if share is not None and share.share:
        gone = Rectangle(corner, place.width * share.share, place.height,
                         facecolor=GONE, edgecolor="none", zorder=4)  # fmt: skip
        axes.add_patch(gone)
        gone.set_clip_path(outline)
    title, detail = lines(box.title, share.label if share is not None else box.detail)
    for text, up, weight, size in ((title, -8.5, "bold", 12.0), (detail, 9.0, "normal", 10.5)):
        axes.text(place.x, place.y + up, text, ha="center", va="center", color=INK,
                  fontsize=size * points, fontweight=weight, zorder=5)  # fmt: skip


def _draw_arrow(axes: Axes, found: Overview, arrow: Arrow) -> None:
    source, target = found.places[arrow.source], found.places[arrow.target]
    corners = list(found.bends.get((arrow.source, arrow.target), ()))
    first = corners[0] if corners else (target.x, target.y)
    last = corners[-1] if corners else (source.x, source.y)
    points = [border(source, first), *corners, border(target, last)]
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points), arrowstyle="-|>,head_length=3,head_width=1.6", color=WIRE,
            linewidth=0.8, linestyle=(0, (4, 2)) if arrow.back else "-", zorder=1,
            joinstyle="round",
        )
    )  # fmt: skip


def border(place: Place, towards: tuple[float, float]) -> tuple[float, float]:
    """Where the line from the middle of a box to a point leaves the box."""
    dx, dy = towards[0] - place.x, towards[1] - place.y
    ways = [2 * abs(dx) / place.width, 2 * abs(dy) / place.height]
    scale = 1 / max(*ways, 1e-9)
    return place.x + dx * scale, place.y + dy * scale
