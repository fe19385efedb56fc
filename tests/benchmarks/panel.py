"""How large snapshots of the side panel are, and how long its answers take.

    python tests/benchmarks/panel.py

Needs torchvision. The first prediction after a change scores the weights, later ones do not.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

sys.path.insert(0, str(Path(__file__).parents[1]))

from torchvision_operators import declare

from spa_kernel.magics.commands import SPAMagics
from spa_kernel.panel.answers import answer
from spa_kernel.panel.hub import Hub

NETWORKS = "resnet50", "densenet201", "mobilenet_v2", "vit_b_16"
TIMES = 5
TARGET = {"kind": "flops", "value": 2}


def timed(hub: Hub, **question: Any) -> tuple[dict[str, Any], float]:
    """An answer, and the milliseconds that it took."""
    start = time.perf_counter()
    found = answer(hub, {"id": 1, **question}, welcomed=True)
    return found, (time.perf_counter() - start) * 1000


def measured(name: str) -> list[str]:
    """A row of the table."""
    from torchvision import models

    config = Config()
    config.HistoryManager.enabled = False
    shell = InteractiveShell(config=config)
    magics = SPAMagics(shell)
    shell.register_magics(magics)
    hub = Hub(magics)
    hub.open()
    shell.user_ns["net"] = getattr(models, name)().eval()
    shell.run_cell("%spa_analyze net --shape 1,3,224,224;").raise_error()
    _, first = timed(hub, type="predict", model="net", target=TARGET)
    later = [
        timed(hub, type="predict", model="net", target={**TARGET, "value": 2 + i / 10})[1]
        for i in range(TIMES)
    ]
    timed(hub, type="snapshot", criterion="l1")
    shown, took = timed(hub, type="snapshot")
    hub.close()
    size, middle = len(json.dumps(shown)), sorted(later)[TIMES // 2]
    groups = len(shown["models"][0]["groups"]["id"])
    return [name, str(groups), f"{size:,}", f"{took:.1f}", f"{first:.0f}", f"{middle:.0f}"]


if __name__ == "__main__":
    library = declare()
    print("network, groups, bytes of a snapshot, ms for it, ms for the first prediction, for later")
    for network in NETWORKS:
        print(*measured(network), sep="\t", flush=True)
