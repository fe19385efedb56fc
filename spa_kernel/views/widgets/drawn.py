"""Blocks inside a widget."""

from __future__ import annotations

from collections.abc import Sequence

import ipywidgets as w

from spa_kernel.views import html
from spa_kernel.views.blocks import Block


def drawn(blocks: Sequence[Block]) -> w.HTML:
    """A widget that shows blocks."""
    widget = w.HTML(html.draw(blocks), layout=w.Layout(margin="0"))
    widget.add_class("spa-drawn")
    return widget
