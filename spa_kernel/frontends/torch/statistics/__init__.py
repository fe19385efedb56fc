"""Statistics of a torch module on data, for criteria: gradients, curvature, activations.

Every module of this package is imported here, so that a new statistic is one new file and its
entry in `spa_kernel.importance.needs`.
"""

from __future__ import annotations

import importlib
import pkgutil

from spa_kernel.frontends.torch.statistics.run import Run, compute, statistic

for _module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")

__all__ = ["Run", "compute", "statistic"]
