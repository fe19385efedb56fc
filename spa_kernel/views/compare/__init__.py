"""A model before and after: what each of its stages costs, and how wide its layers are."""

from spa_kernel.views.compare.blocks import comparison_blocks
from spa_kernel.views.compare.states import Comparison, Layer, Stage, comparison

__all__ = ["Comparison", "Layer", "Stage", "comparison", "comparison_blocks", "comparison_figure"]


def __getattr__(name: str) -> object:
    # matplotlib is loaded only where there is a picture to draw.
    if name == "comparison_figure":
        from spa_kernel.views.compare.figure import comparison_figure

        return comparison_figure
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
