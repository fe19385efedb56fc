"""What a task of a trained model is, and what several of them need."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

Feeds = dict[str, np.ndarray]
Run = Callable[[Feeds], list[np.ndarray]]


@dataclass
class Task:
    """What to analyse a model with, to calibrate on, and how to measure it."""

    inputs: dict[str, Any]
    batches: list[Feeds]
    measure: Callable[[Run], float]
    what: str


def edits(a: str, b: str) -> int:
    """Levenshtein's distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (x != y))
    return row[-1]


def letters_right(wanted: list[str], found: Iterable[str]) -> float:
    """One less the share of letters that are wrong, missing or too many."""
    wrong = sum(edits(a, b) for a, b in zip(wanted, found, strict=True))
    return 1 - wrong / sum(map(len, wanted))


def collapsed(best: np.ndarray, letters: list[str], blank: int) -> str:
    """What a CTC output says: of each run of the same label one, without blanks."""
    kept = [i for at, i in enumerate(best) if i != blank and (not at or i != best[at - 1])]
    return "".join(letters[i] for i in kept if i < len(letters))
