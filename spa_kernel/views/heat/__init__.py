"""Importance of every channel as colours: a row per group, and what a plan takes away.

``rows`` says what there is to show, ``scale`` how scores become colours, ``sheet`` puts both
together; ``svg`` draws a sheet for a live view, ``figure`` for one that is kept.
"""

from spa_kernel.views.heat.agreement import Agreement, agreement
from spa_kernel.views.heat.blocks import agreement_blocks, heat_blocks
from spa_kernel.views.heat.rows import Heat, Row, heat
from spa_kernel.views.heat.sheet import Sheet, pair, sheet

__all__ = [
    "Agreement",
    "Heat",
    "Row",
    "Sheet",
    "agreement",
    "agreement_blocks",
    "heat",
    "heat_blocks",
    "pair",
    "sheet",
]
