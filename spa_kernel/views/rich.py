"""The door to the views: the mixin for results, and `describe`, which each kind of result teaches.

Result classes inherit from `Rich` and know nothing of HTML. `describe` is taught about them in
`spa_kernel.views.results`, which is loaded only when something is shown, so that the engine never
imports a view.
"""

from __future__ import annotations

from functools import cache, singledispatch
from importlib import import_module
from typing import Any

from spa_kernel.views import html, live, text
from spa_kernel.views.blocks import Block


@singledispatch
def describe(result: Any) -> list[Block]:
    """What to show of a result, as blocks (`spa_kernel.views.blocks`).

    Register more kinds with ``@describe.register``.
    """
    raise TypeError(f"there is no view for {type(result).__name__}")


@cache
def _teach() -> None:
    """Load the descriptions of the package's own results, once."""
    import_module("spa_kernel.views.results")


def render_html(result: Any) -> str:
    """Draw a result as an HTML fragment that follows the notebook's theme."""
    _teach()
    return html.draw(describe(result))


def render_text(result: Any) -> str:
    """Draw a result as plain text, at most 80 columns wide."""
    _teach()
    return text.draw(describe(result))


def mimebundle(result: Any) -> dict[str, Any]:
    """All drawings of a result, as IPython wants them; whoever shows them takes the best."""
    _teach()
    blocks = describe(result)
    return {
        **live.data(result),
        "text/html": html.draw(blocks),
        "text/plain": text.draw(blocks),
    }


class Rich:
    """Mixin for results that a notebook shows, live or as tables, and a terminal and ``print``."""

    __slots__ = ()

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        return mimebundle(self)

    def __str__(self) -> str:
        return render_text(self)
