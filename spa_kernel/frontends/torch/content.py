"""Constants of a forward, to be compared before and after a prune."""

from __future__ import annotations

import numpy as np


class Content(str):
    """A constant's content in short, equal for equal contents; holds the entries themselves."""

    entries: np.ndarray

    def __new__(cls, text: str, entries: np.ndarray) -> Content:
        self = super().__new__(cls, text)
        self.entries = entries
        return self
