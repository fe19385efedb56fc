"""The style of live views, beside that of the blocks which they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import ipywidgets as w

_RULES = """
.spa-live { color: var(--jp-content-font-color1, inherit); overflow: visible; }
.spa-live .spa-muted { color: var(--jp-content-font-color2, #767676); }
.spa-live .spa-good { color: var(--jp-success-color1, #43a047); }
.spa-live .spa-bad { color: var(--jp-error-color1, #d32f2f); }
.spa-live .widget-html-content { line-height: 1.45; white-space: normal; }
.spa-live .spa-busy .widget-html { flex: 1 1 auto; }
.spa-live .spa-controls { padding-right: 1.5em; border-right: 1px solid
  var(--jp-border-color2, rgba(128, 128, 128, .35)); margin-right: 1em; }
@media (max-width: 800px) { .spa-live .spa-controls { border-right: none; } }
.spa-live .spa-heading { font-weight: 600; margin: .5em 0 .2em; }
.spa-live .spa-line code {
  user-select: all; cursor: copy; padding: .15em .45em; border-radius: 3px;
  font-family: var(--jp-code-font-family, monospace);
  color: var(--jp-content-font-color1, inherit);
  background: var(--jp-layout-color2, rgba(128, 128, 128, .10));
}
"""

STYLE = f"<style>{' '.join(_RULES.split())}</style>"


def framed(children: Sequence[w.Widget], **layout: Any) -> w.VBox:
    """Widgets below each other, with the style they need."""
    style = w.HTML(STYLE, layout=w.Layout(height="0", margin="0"))
    frame = w.VBox([style, *children], layout=w.Layout(**layout))
    frame.add_class("spa-live")
    return frame


def heading(text: str) -> w.HTML:
    """A title for some controls."""
    return w.HTML(f'<div class="spa-heading">{text}</div>')
