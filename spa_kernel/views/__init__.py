"""What results look like: one description per kind of result, drawn as HTML and as plain text."""

from spa_kernel.views.rich import Rich, describe, mimebundle, render_html, render_text

__all__ = ["Rich", "describe", "mimebundle", "render_html", "render_text"]
