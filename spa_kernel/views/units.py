"""Numbers for people: short in the table, exact on hover."""

from __future__ import annotations

from collections.abc import Iterable

from spa_kernel.views.blocks import Cell

_PREFIXES = ("", "k", "M", "G", "T", "P")


def short(number: float) -> str:
    """Three digits and a unit prefix.

    Examples
    --------
    >>> short(7), short(25_557_032), short(999_999)
    ('7', '25.6 M', '1.00 M')
    """
    if number < 1000:
        return f"{number:g}" if number == int(number) else f"{number:.3g}"
    value, power = float(number), 0
    # 999.5 and more would be rounded to four digits
    while value >= 999.5 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:.{digits}f} {_PREFIXES[power]}"


def amount(number: float, what: str = "") -> Cell:
    """A count as a cell: short, with the exact number on hover."""
    return Cell(short(number), title=f"{number:,} {what}".strip())


def change(before: float, after: float, what: str = "") -> Cell:
    """Two counts with an arrow between them."""
    return Cell(f"{short(before)} → {short(after)}", title=f"{before:,} → {after:,} {what}".strip())


def factor(before: float, after: float) -> str:
    """How many times smaller, rounded down so that 1.996 never reads as 2.00.

    Examples
    --------
    >>> factor(3992, 2000)
    '1.99'
    """
    if after == 0:
        return "∞"
    return f"{int(before / after * 100 + 1e-9) / 100:.2f}"


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    if value < 1:
        return f"{value * 1000:.0f} ms"
    if value < 100:
        return f"{value:.1f} s"
    return f"{value // 60:.0f} min {value % 60:.0f} s"


def count(number: int, noun: str, plural: str = "") -> str:
    """A number with its noun.

    Examples
    --------
    >>> count(1, "axis", "axes"), count(3, "step")
    ('1 axis', '3 steps')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def ranges(indices: Iterable[int]) -> str:
    """Sorted indices, with runs drawn together.

    Examples
    --------
    >>> ranges([0, 1, 2, 5, 7, 8])
    '0–2, 5, 7, 8'
    """
    runs: list[list[int]] = []
    for index in indices:
        if runs and index == runs[-1][-1] + 1:
            runs[-1].append(int(index))
        else:
            runs.append([int(index)])
    return ", ".join(
        f"{run[0]}–{run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs
    )
