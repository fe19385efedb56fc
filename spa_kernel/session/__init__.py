"""Sessions: the one door to the engine, for scripts, magics, views and the lab panel."""

from spa_kernel.session.explain import Explanation
from spa_kernel.session.frozen import Frozen
from spa_kernel.session.history import History, Step
from spa_kernel.session.measure import Measurement, measure
from spa_kernel.session.report import Report
from spa_kernel.session.session import Session, analyze, load

__all__ = [
    "Explanation",
    "Frozen",
    "History",
    "Measurement",
    "Report",
    "Session",
    "Step",
    "analyze",
    "load",
    "measure",
]
