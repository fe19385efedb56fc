"""Colours of the coupling graph: dark letters on pale boxes, on light and on dark ground."""

from __future__ import annotations

INK = "#1b1b1b"
WIRE = "#7f7f7f"
PALE = "#dcdcdc"
"""Of what is frozen."""
GONE = "#f2a65a"
"""Of the share that goes."""
MARK = "#D55E00"
"""Around what is selected."""
HIT = "#CC79A7"
"""Around what a search has found."""

FILL = {
    "group": "#d3e8f6", "repeat": "#d3e8f6", "module": "#d8efe6",
    "input": "#ffffff", "output": "#ffffff", "layer": "#d3e8f6", "link": "#fdf0cf",
}  # fmt: skip
EDGE = {
    "group": "#0072B2", "repeat": "#0072B2", "module": "#009E73",
    "input": "#555555", "output": "#555555", "layer": "#0072B2", "link": "#b07d00",
}  # fmt: skip
"""Okabe and Ito's, or darker ones of the same hue."""
