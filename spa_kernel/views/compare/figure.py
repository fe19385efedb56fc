"""Before and after as a picture that goes straight into a report, in grey as well."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from spa_kernel.views.compare.blocks import arrow
from spa_kernel.views.compare.states import Comparison, Pair, comparison
from spa_kernel.views.figures import COLOURS, GREY, PALE, SIZE, Drawing
from spa_kernel.views.measurement_view import milliseconds
from spa_kernel.views.units import factor, short

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Measurement, Session

ROW = 0.24
"""Inches of a stage."""
DARK = COLOURS[0]


def comparison_figure(
    session: Session, measurement: Measurement | None = None, plan: Plan | None = None
) -> Figure:
    """What each stage of a model costs, before and after.

    Parameters
    ----------
    session, measurement, plan
        As for `spa_kernel.views.compare.comparison_blocks`.
    """
    return draw(comparison(session, plan), measurement if plan is None else None)


def draw(found: Comparison, measurement: Measurement | None = None) -> Figure:
    """The picture of a comparison."""
    rows, title = len(found.stages), headline(found, measurement)
    high = ROW * rows + 0.75 + 0.17 * len(title)
    figure = Drawing(figsize=(SIZE[0], high), layout="constrained")
    figure.suptitle("\n".join(title), fontsize=8.5, x=0.01, ha="left", linespacing=1.4)
    flops, params = figure.subplots(1, 2, sharey=True)
    bars(flops, [stage.flops for stage in found.stages], found.flops, "FLOPs")
    bars(params, [stage.params for stage in found.stages], found.params, "parameters")
    flops.set_ylim(rows - 0.4, -0.6)
    names = [stage.ending or "all" for stage in found.stages]
    flops.set_yticks(range(rows), names, fontsize=7)
    params.tick_params(labelleft=False)
    place = params.get_yaxis_transform()
    params.text(1.06, -0.75, "channels", transform=place, fontsize=7, color=GREY, va="bottom")
    for number, stage in enumerate(found.stages):
        if stage.layers:
            params.text(1.06, number, arrow(stage.width), transform=place, fontsize=7, va="center")
    if not found.same:
        figure.legend(
            *flops.get_legend_handles_labels(), loc="outside lower left", ncols=2, fontsize=7,
            frameon=False,
        )  # fmt: skip
    return figure


def headline(found: Comparison, measurement: Measurement | None) -> list[str]:
    """The totals in words, a line each."""
    if found.same:
        return [f"{found.name}: {short(found.flops[0])} FLOPs, {short(found.params[0])} parameters"]
    lines = [
        f"{found.name}, before and {'after (planned)' if found.predicted else 'after'}",
        f"FLOPs {short(found.flops[0])} → {short(found.flops[1])} (RF {factor(*found.flops)}), "
        f"parameters {short(found.params[0])} → {short(found.params[1])} "
        f"(RP {factor(*found.params)})",
    ]
    if measurement is not None and measurement.latency:
        times = [
            f"{by} {milliseconds(time.before).text} → {milliseconds(time.after).text} "
            f"(÷ {time.factor:.2f})"
            for by, time in measurement.latency.items()
        ]
        lines.append(f"latency: {', '.join(times)}")
    return lines


def bars(axes: Axes, pairs: Sequence[Pair], total: Pair, what: str) -> None:
    """A wide pale bar before, a narrow dark one after, and how many times less."""
    places = np.arange(len(pairs))
    before, after = (np.array([pair[i] for pair in pairs], dtype=float) for i in (0, 1))
    same = total[0] == total[1]
    axes.barh(places, before, height=0.78, color=PALE, label="before", zorder=2)
    if not same:
        axes.barh(places, after, height=0.4, color=DARK, label="after", zorder=3)
    room = max(before.max(initial=0), after.max(initial=0), 1)
    for place, (first, last) in enumerate(pairs):
        text = short(first) if first == last else f"÷ {factor(first, last)}"
        if first or last:
            axes.text(
                max(first, last) + 0.015 * room, place, text, fontsize=6.5, va="center", zorder=4
            )
    axes.set_xlim(0, 1.2 * room)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x).rstrip()))
    axes.tick_params(labelsize=7, length=0)
    axes.grid(axis="x", color="#ebebeb", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.set_title(what, fontsize=8, loc="left", color="black")
