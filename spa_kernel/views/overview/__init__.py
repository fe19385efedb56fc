"""The coupling graph: which channels move together, and how data flows between them.

What is shown is worked out here, without widgets; the live view (`spa_kernel.views.widgets.graph`)
and the figure draw the same picture.
"""

from spa_kernel.views.overview.boxes import MOST, Arrow, Box, Overview, Place
from spa_kernel.views.overview.inside import opened
from spa_kernel.views.overview.network import overview
from spa_kernel.views.overview.told import overview_blocks

__all__ = ["MOST", "Arrow", "Box", "Overview", "Place", "opened", "overview", "overview_blocks"]
