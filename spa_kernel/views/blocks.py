"""The vocabulary of the views: what is to be shown, apart from how it is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

Tone = Literal["plain", "muted", "good", "bad"]

PIXELS = 640
"""Width of a picture, in CSS pixels."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One entry of a table.

    Parameters
    ----------
    text : str
    title : str
        The exact value, shown on hover.
    code : bool
        Whether this is a name from the user's program.
    tone : str
    share : float or None
        Draw a bar that is filled this far (0 to 1), before the text.
    items : sequence of str
        What unfolds under the text; only the text is shown on paper.
    heat : float or None
        Shade the cell this strongly (0 to 1); plain text has the number alone.
    best : bool
        Whether this is the one to look at.
    """

    text: str
    title: str = ""
    code: bool = False
    tone: Tone = "plain"
    share: float | None = None
    items: Sequence[str] = ()
    heat: float | None = None
    best: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Where there is little room an ``elastic`` column is cut short and a ``wraps`` column takes
    more lines.
    """

    title: str
    right: bool = False
    elastic: bool = False
    wraps: bool = False
    help: str = ""


@dataclass(frozen=True, slots=True)
class Title:
    """The first line: what this is, and in a few words more."""

    text: str
    more: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """The first line of a part."""

    text: str
    more: str = ""
    code: bool = True


@dataclass(frozen=True, slots=True)
class Fact:
    """A labelled value, such as a total."""

    label: str
    value: Cell
    note: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """The totals, side by side."""

    facts: Sequence[Fact]


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells; ``current`` is the row to point at."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    current: int | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence."""

    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, slots=True)
class Points:
    """A list of sentences."""

    items: Sequence[str]


@dataclass(frozen=True, slots=True)
class Fold:
    """Something that opens on demand; plain text shows its summary and at most ``head`` lines."""

    summary: str
    blocks: Sequence[Block]
    head: int = 8


@dataclass(frozen=True, slots=True)
class Picture:
    """A drawing; plain text leaves it out, as a table says the same.

    Parameters
    ----------
    draw : callable
        Makes the content of a PNG file; called only where the picture is shown.
    words : str
        What it shows, for those who cannot see it.
    """

    draw: Callable[[], bytes]
    words: str


Block = Title | Section | Facts | Table | Line | Points | Fold | Picture
