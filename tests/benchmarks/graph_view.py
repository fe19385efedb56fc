"""How long it takes until the coupling graph is on the screen, in a JupyterLab in Chromium.

Run as ``python tests/benchmarks/graph_view.py [name ...]``; needs torchvision, playwright and
Chromium. For each network it prints operators, groups, boxes and arrows, seconds for working the
picture out and making the widget (in the kernel), and seconds from starting the cell that displays
it until all boxes are drawn (in the browser). The analysis is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from _browser import TESTS, run
from driving import command, opened, written

NETWORKS = ["resnet50", "densenet201", "swin_t", "vit_b_16", "mobilenet_v2", "shufflenet_v2_x1_0",
            "residual convolutions", "transformer blocks", "dense stages"]  # fmt: skip
"""Of torchvision; with a blank in the name: of ``growth.py``, with 5,000 operators."""

SETUP = """
import sys, time, json
sys.path[:0] = {paths!r}
import torch
from torchvision_operators import declare
declared = declare()
torch.set_num_threads(1); torch.manual_seed(0)
import spa_kernel as spa
name = {name!r}
if " " in name:
    from growth import KINDS
    make, operators = KINDS[name]
    net, inputs = make(int(5000 / operators))
else:
    import torchvision
    net, inputs = getattr(torchvision.models, name)(weights=None), (1, 3, 224, 224)
session = spa.analyze(net.eval(), inputs, name=name)
from spa_kernel.views.widgets.graph import GraphView
from spa_kernel.views.overview import overview
print("ready" + " now")
"""
SHOW = """
start = time.perf_counter()
view = GraphView(session)
made = time.perf_counter() - start
view.widget
"""
TELL = """
shown = overview(session)
print(json.dumps({"made": made, "operators": len(session.analysis.graph.nodes),
                  "groups": len(session.groups), "boxes": len(shown.boxes),
                  "arrows": len(shown.arrows), "told": True}))
"""
DRAWN = """() => {
    const found = document.querySelector('.spa-graph .custom-widget');
    const cy = found && found._cyreg && found._cyreg.cy;
    if (!cy || cy.nodes().length < 3 || cy.edges().length < 2) return false;
    const b = cy.elements().renderedBoundingBox();
    return b.w > 10 && b.x1 >= -5 && b.x2 <= cy.width() + 5;
}"""


def measured(lab, browser, name: str) -> None:
    """Print one row."""
    paths = [str(TESTS), str(Path(__file__).parent)]
    sources = [SETUP.format(paths=paths, name=name), SHOW, TELL]
    file = written(lab, f"{name.replace(' ', '-')}.ipynb", *sources)
    page, _ = opened(lab, browser, file)
    command(page, "notebook:run-cell-and-select-next")
    page.wait_for_selector(".jp-OutputArea-output >> text=ready now", timeout=300_000)
    start = page.evaluate("() => performance.now()")
    command(page, "notebook:run-cell-and-select-next")
    end = page.wait_for_function(
        f"() => ({DRAWN})() && performance.now()", timeout=60_000, polling=20
    ).json_value()
    command(page, "notebook:run-cell")
    told = page.wait_for_selector(".jp-OutputArea-output >> text=told", timeout=60_000)
    facts = json.loads(told.inner_text())
    page.close()
    print(
        f"{name:24} {facts['operators']:>9} {facts['groups']:>6} {facts['boxes']:>5} "
        f"{facts['arrows']:>6} {facts['made']:>8.2f} {(end - start) / 1000:>8.2f}",
        flush=True,
    )


def test_graph_view(lab, browser):
    print(f"\n{'network':24} operators groups boxes arrows   kernel  browser")
    for name in os.environ["SPA_NETWORKS"].split(","):
        measured(lab, browser, name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NETWORKS)
    os.environ["SPA_NETWORKS"] = ",".join(parser.parse_args().names)
    return run(__file__)


if __name__ == "__main__":
    sys.exit(main())
