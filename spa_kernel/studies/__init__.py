"""Studies: a question about a model that takes many prunes to answer."""

from spa_kernel.studies.outcome import Sweep
from spa_kernel.studies.sensitivity import Sensitivity, sensitivity
from spa_kernel.studies.sweep import sweep

__all__ = ["Sensitivity", "Sweep", "sensitivity", "sweep"]
