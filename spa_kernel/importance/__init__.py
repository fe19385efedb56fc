"""How much each coupled channel matters: criteria, aggregation, normalisation.

Every module of this package is imported here, so that a new criterion is one new file.
"""

from __future__ import annotations

import importlib
import pkgutil

from spa_kernel.importance.aggregate import AGGREGATIONS, group_scores
from spa_kernel.importance.needs import STATISTICS
from spa_kernel.importance.normalise import NORMALISATIONS
from spa_kernel.importance.registry import Context, Criterion, criteria, criterion, find

for _module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = [
    "AGGREGATIONS",
    "NORMALISATIONS",
    "STATISTICS",
    "Context",
    "Criterion",
    "criteria",
    "criterion",
    "find",
    "group_scores",
]
