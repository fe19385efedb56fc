"""What the coupling graph looks like in the browser."""

from __future__ import annotations

from typing import Any

from spa_kernel.views.overview.colours import EDGE, FILL, GONE, HIT, INK, MARK, PALE, WIRE
from spa_kernel.views.widgets.cytoscape import heights

LEVELS = 20
"""Steps in which a box can be filled."""

CSS = """
.spa-graph { border: 1px solid var(--jp-border-color2, #ccc); border-radius: 3px; }
.spa-graph .custom-widget { background-color: transparent !important; border: none !important; }
.spa-graph-parts { flex-flow: row wrap; gap: 10px; align-items: stretch; }
.spa-graph-bar { flex-flow: row wrap; align-items: center; gap: 4px 10px; }
.spa-graph-where { color: var(--jp-content-font-color1, inherit); font-weight: 600; }
.spa-graph-details { color: var(--jp-content-font-color1, inherit); padding: 0 4px;
  max-height: 620px; }
.spa-graph-details .widget-html-content { width: 100%; min-width: 0; overflow-wrap: anywhere; }
.spa-graph-key { color: var(--jp-content-font-color2, #767676); font-size: .9em; line-height: 1.4; }
.spa-graph-key i { display: inline-block; width: 1.2em; height: .8em; margin: 0 .35em 0 1em;
  border: 1px solid; border-radius: 2px; vertical-align: baseline; }
.spa-graph-key i:first-child { margin-left: 0; }
"""


def level(share: float) -> str:
    """The class of a box that is filled so far."""
    number = min(LEVELS, max(1, round(share * LEVELS))) if share > 0 else 0
    return f"gone-{number}" if number else ""


def _kind(kind: str) -> dict[str, Any]:
    return {
        "selector": f"node.{kind}",
        "style": {"background-color": FILL[kind], "border-color": EDGE[kind]},
    }


def _filled(number: int) -> dict[str, Any]:
    stop = f"{100 * number / LEVELS:.0f}%"
    return {
        "selector": f"node.gone-{number}",
        "style": {
            "background-fill": "linear-gradient",
            "background-gradient-direction": "to-right",
            "background-gradient-stop-colors": f"{GONE} {GONE} {FILL['group']} {FILL['group']}",
            "background-gradient-stop-positions": f"0% {stop} {stop} 100%",
        },
    }


STYLE: list[dict[str, Any]] = [
    {
        "selector": "node",
        "style": {
            "shape": "round-rectangle", "width": "data(w)", "height": "data(h)",
            "label": "data(label)", "text-wrap": "wrap", "text-valign": "center",
            "text-halign": "center", "color": INK, "font-size": 12, "line-height": 1.35,
            "font-family": "system-ui, -apple-system, Segoe UI, Helvetica, Arial, sans-serif",
            "border-width": 1.5,
        },
    },
    *(_kind(kind) for kind in FILL),
    # A second line around it: there are several.
    {"selector": "node.repeat", "style": {"border-style": "double", "border-width": 5}},
    {"selector": "node.module", "style": {"border-style": "double", "border-width": 5}},
    *(_filled(number) for number in range(1, LEVELS + 1)),
    {
        "selector": "node.frozen",
        "style": {"background-color": PALE, "border-color": WIRE, "border-style": "dashed"},
    },
    {
        "selector": "edge",
        "style": {
            "width": 1.3, "line-color": WIRE, "curve-style": "straight",
            "target-arrow-shape": "triangle", "target-arrow-color": WIRE, "arrow-scale": 0.9,
        },
    },
    {
        "selector": "edge.bent",
        "style": {
            "curve-style": "segments", "edge-distances": "node-position",
            "segment-weights": "data(weights)", "segment-distances": "data(distances)",
        },
    },
    {"selector": "edge.back", "style": {"line-style": "dashed"}},
    {"selector": "node.is-hit", "style": {"border-color": HIT, "border-width": 5}},
    {"selector": "node.is-selected", "style": {"border-color": MARK, "border-width": 5}},
]  # fmt: skip


def key() -> str:
    """What the colours and lines mean, as HTML."""
    parts = {
        "coupled channels that can go": (FILL["group"], EDGE["group"], "solid"),
        "the same in several blocks": (FILL["repeat"], EDGE["repeat"], "double"),
        "frozen: cannot go": (PALE, WIRE, "dashed"),
        "a plan takes this share": (GONE, EDGE["group"], "solid"),
    }
    boxes = "".join(
        f'<i style="background:{fill};border-color:{edge};border-style:{line};'
        f'border-width:{3 if line == "double" else 1}px"></i>{words}'
        for words, (fill, edge, line) in parts.items()
    )
    return (
        f"<style>{' '.join(CSS.split())} {heights()}</style>"
        f'<div class="spa-graph-key">{boxes}. Arrows are data flow; dashed ones come back, '
        "as into a residual stream.</div>"
    )
