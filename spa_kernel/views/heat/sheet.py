"""What is drawn: rows of channels in some order, binned, with their scales.

The live drawing and the printed one are both made of this, so that they show the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from spa_kernel.views.heat.agreement import Agreement
from spa_kernel.views.heat.rows import Heat, Row
from spa_kernel.views.heat.scale import WORDS, Scale, brief, scale, scales
from spa_kernel.views.units import count

MOST = 60
"""Groups that are drawn at once."""
FINEST = 188
"""Colours in a row."""
BARS = 24
"""Steps of a distribution."""
LETTERS = 21
"""Of a layer's name."""


@dataclass(frozen=True, eq=False)
class Strip:
    """One row in the order that it is drawn in.

    Attributes
    ----------
    row : Row
    scale : Scale
    in_place : bool
        Channels stand in their own order, not by score.
    """

    row: Row
    scale: Scale
    in_place: bool

    @property
    def ending(self) -> str:
        """The end of the layer's name: it tells more than the start."""
        name = self.row.name
        return name if len(name) <= LETTERS else f"…{name[1 - LETTERS :].lstrip('.')}"

    @cached_property
    def order(self) -> np.ndarray:
        """Channels from left to right."""
        return np.arange(self.row.size) if self.in_place else self.row.order

    def edges(self, most: int) -> np.ndarray:
        """Where bins begin and end; in order of score, equal ranks of blocks stay together."""
        step = 1 if self.in_place else self.row.blocks
        columns = self.row.size // step
        return np.round(np.linspace(0, columns, min(most, columns) + 1)).astype(np.int64) * step

    @property
    def channels(self) -> str:
        """How many channels there are; in blocks, of how many each."""
        row = self.row
        return f"{row.size:,}" if row.blocks == 1 else f"{row.blocks}×{row.size // row.blocks}"

    def colours(self) -> np.ndarray:
        """Places on the scale (0 to 1) of the mean of each of the finest bins."""
        edges = self.edges(FINEST)
        sums = np.add.reduceat(self.row.scores[self.order], edges[:-1])
        return self.scale(sums / np.diff(edges))

    def going(self) -> np.ndarray:
        """Share of each of the finest bins that the plan removes."""
        edges = self.edges(FINEST)
        gone = self.row.gone
        assert gone is not None
        return np.add.reduceat(gone[self.order].astype(np.float64), edges[:-1]) / np.diff(edges)

    @property
    def cut(self) -> float | None:
        """Share of the row up to the cut line; ``None`` where there is no one line."""
        cut = None if self.in_place else self.row.cut
        return None if cut is None else cut / self.row.size

    def heights(self) -> np.ndarray:
        """How the scores are spread over the scale: counts, as shares of the largest."""
        counts, _ = np.histogram(self.scale(self.row.scores), BARS, (0, 1))
        return counts / max(counts.max(), 1)


@dataclass(frozen=True, eq=False)
class Panel:
    """Rows of one criterion below each other.

    Attributes
    ----------
    criterion : str
    strips : list of Strip
    bar : Scale or None
        The scale, where all rows have the same.
    words : str
        What the colours mean.
    """

    criterion: str
    strips: list[Strip]
    bar: Scale | None
    words: str

    def ticks(self) -> list[tuple[float, str]]:
        """Places on the colour bar, with labels."""
        if self.bar is None:
            return [(0.0, "lowest"), (1.0, "highest")]
        if len(self.bar.values) == 1:
            return [(0.5, brief(self.bar.score(0.5)))]
        marks = {0.0: "≤ ", 1.0: "≥ "} if self.bar.kind != "rank" else {}
        places = (0.0, 0.25, 0.5, 0.75, 1.0)
        return [(p, marks.get(p, "") + brief(self.bar.score(p))) for p in places]


@dataclass(frozen=True, eq=False)
class Sheet:
    """One page: one criterion, or two side by side.

    Attributes
    ----------
    panels : list of Panel
        With the same groups in the same order.
    in_place, planned : bool
    agreement : Agreement or None
        Of two criteria.
    first, total : int
        Place of the first row among all groups that have scores, and how many these are.
    """

    panels: list[Panel]
    in_place: bool
    planned: bool
    agreement: Agreement | None
    first: int
    total: int

    @property
    def goes(self) -> str:
        """How the drawing says what the plan takes."""
        taken = [strip for p in self.panels for strip in p.strips if strip.row.going]
        lines = {strip.cut is not None for strip in taken}
        if lines == {True, False}:
            return "left of the line, or marked below: goes"
        return "marked below: goes" if False in lines else "left of the orange line: goes"

    @property
    def words(self) -> str:
        """What is seen, for those who cannot see it."""
        names = " and ".join(panel.criterion for panel in self.panels if panel.criterion)
        how = "in place" if self.in_place else "from the lowest score to the highest"
        return (
            f"Importance{' by ' if names else ''}{names} of the channels of "
            f"{count(len(self.panels[0].strips), 'group')}, a row each, {how}. "
            "A table says the same."
        )

    @property
    def taken(self) -> str:
        """What the plan takes, for those who cannot see it."""
        rows = [strip.row for strip in self.panels[0].strips]
        going, size = sum(row.going for row in rows), sum(row.size for row in rows)
        return f"{going:,} of {count(size, 'channel')} go."


def sheet(shown: Heat, *, in_place: bool = False, own: bool = False, page: int = 0) -> Sheet:
    """One criterion.

    Parameters
    ----------
    shown : Heat
        With one row at least.
    in_place : bool
        Leave channels in their own order.
    own : bool
        Give each group a scale of its own.
    page : int
        Which `MOST` rows.
    """
    rows = shown.rows[page * MOST : (page + 1) * MOST]
    if own:
        found = scales([row.scores for row in rows])
        words = f"{WORDS[found[0].kind]}, each group its own"
        bar = None
    else:
        # Of all pages: colours mean the same on each.
        bar = scale([row.scores for row in shown.rows])
        found = [bar] * len(rows)
        words = WORDS[bar.kind]
    strips = [Strip(row, own, in_place) for row, own in zip(rows, found, strict=True)]
    panel = Panel(shown.criterion, strips, bar, words)
    return Sheet([panel], in_place, shown.planned, None, page * MOST, len(shown.rows))


def pair(
    first: Heat, second: Heat, agreement: Agreement, *, in_place: bool = False, page: int = 0
) -> Sheet:
    """Two criteria: channels in the order of the first, colours by rank in their group."""
    other = {row.group: row for row in second.rows}
    both = [row for row in first.rows if row.group in other]
    rows = both[page * MOST : (page + 1) * MOST]
    # In the order of the first criterion: if both agree, they look the same.
    others = [replace(other[row.group], order=row.order) for row in rows]
    panels = [ranked(first.criterion, rows, in_place), ranked(second.criterion, others, in_place)]
    return Sheet(panels, in_place, first.planned, agreement, page * MOST, len(both))


def marked(shown: Sheet, gone: Mapping[str, np.ndarray] | None) -> Sheet:
    """The same with another plan.

    Parameters
    ----------
    shown : Sheet
    gone : mapping of str to numpy.ndarray or None
        Group id to what goes, see `spa_kernel.views.heat.rows.removed`; ``None`` for no plan.
    """

    def again(strip: Strip) -> Strip:
        mask = None if gone is None else gone[strip.row.group]
        return replace(strip, row=replace(strip.row, gone=mask))

    panels = [replace(p, strips=list(map(again, p.strips))) for p in shown.panels]
    return replace(shown, panels=panels, planned=gone is not None)


def ranked(criterion: str, rows: Sequence[Row], in_place: bool) -> Panel:
    """A panel of which the colours are ranks within each group."""
    strips = [Strip(row, scale([row.scores], "rank"), in_place) for row in rows]
    return Panel(criterion, strips, None, "rank within the group")
