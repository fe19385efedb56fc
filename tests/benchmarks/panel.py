"""How large snapshots of the side panel are, and how long its answers and its pixels take.

    python tests/benchmarks/panel.py [--browser]

Needs torchvision; with ``--browser`` playwright, Chromium and the built panel too, which is then
driven in JupyterLab. The first prediction after a change scores the weights, later ones do not.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from _browser import TESTS, run
from IPython.core.interactiveshell import InteractiveShell
from torchvision_operators import declare
from traitlets.config import Config

from spa_kernel.magics.commands import SPAMagics
from spa_kernel.panel.answers import answer
from spa_kernel.panel.hub import Hub

NETWORKS = "resnet50", "densenet201", "mobilenet_v2", "vit_b_16"
TIMES = 5
TARGET = {"kind": "flops", "value": 2}


SHOWN = "densenet201", "700 groups"
SETUP = """
import sys
sys.path.insert(0, {tests!r})
import torch
from torch import nn
from torchvision_operators import declare
declared = declare()
torch.set_num_threads(1); torch.manual_seed(0)
if {name!r} == "700 groups":
    block = lambda: nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
                                  nn.Conv2d(8, 8, 3, padding=1), nn.ReLU())
    stage = lambda: nn.Sequential(*[block() for _ in range(50)])
    net, shape = nn.Sequential(*[stage() for _ in range(7)]).eval(), "1,8,8,8"
else:
    import torchvision
    net, shape = torchvision.models.{attribute}().eval(), "1,3,224,224"
%load_ext spa_kernel
session = %spa_analyze net --shape $shape
print("ready" + " now")
"""
WATCH = """() => {
    const seen = window.seen = {};
    const steps = () => document.querySelectorAll('.spa-Panel-history li').length;
    const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
    kernel.anyMessage.connect((_, { msg, direction }) => {
        const data = msg.content?.data;
        if (direction === 'recv' && data?.type === 'snapshot' && !seen.told
            && data.models[0]?.history.label.length > 1)
            seen.told = performance.now();
    });
    new MutationObserver(() => {
        if (seen.drawn || steps() < 2) return;
        seen.drawn = 1;
        requestAnimationFrame(() => setTimeout(() => { seen.drawn = performance.now(); }));
    }).observe(document.querySelector('.spa-Panel'), { subtree: true, childList: true });
}"""
SCROLL = """async () => {
    const list = document.querySelector('.spa-Panel-groups');
    const took = [];
    let last = performance.now();
    for (let i = 0; i < 90; i++) {
        list.scrollTop += 100;
        await new Promise(requestAnimationFrame);
        took.push(performance.now() - last);
        last = performance.now();
    }
    took.sort((a, b) => a - b);
    return [took[45], took[89], list.querySelectorAll('[data-index]').length];
}"""
FILTER = """async text => {
    const field = document.querySelector('.spa-Panel-filter input');
    const start = performance.now();
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value').set.call(field, text);
    field.dispatchEvent(new Event('input', { bubbles: true }));
    await new Promise(done => requestAnimationFrame(() => setTimeout(done)));
    return performance.now() - start;
}"""


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


def shown(lab: Any, browser: Any, name: str) -> list[str]:
    """A row of the table of what a browser takes."""
    from driving import opened, written
    from test_panel_lab import run as typed

    attribute = "alexnet" if " " in name else name
    cell = SETUP.format(tests=str(TESTS), name=name, attribute=attribute)
    page, _ = opened(lab, browser, written(lab, f"{name.replace(' ', '-')}.ipynb", cell))
    page.set_default_timeout(300_000)
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_selector(".jp-OutputArea-output >> text=ready now")
    page.evaluate("() => void window.jupyterapp.commands.execute('spa-kernel:open-panel')")
    page.wait_for_selector(".spa-Panel-outcome[data-state=done]")
    predicted = []
    for times in ("1.5", "1.6", "1.7"):
        start = time.perf_counter()
        page.locator(".spa-Panel input[type=number]").fill(times)
        page.wait_for_selector(f".spa-Panel-outcome code:has-text('--flops {times} ')")
        predicted.append((time.perf_counter() - start) * 1000)
    page.evaluate(WATCH)
    typed(page, "_ = session.prune(flops=1.2)")
    page.wait_for_function("() => window.seen.drawn > 1")
    drawn = page.evaluate("() => window.seen.drawn - window.seen.told")
    page.wait_for_selector(".spa-Panel-outcome[data-state=done]")
    page.locator(".spa-Panel-groups").scroll_into_view_if_needed()
    # A filter that all groups fit opens all modules.
    filtered = [page.evaluate(FILTER, text) for text in ("1", "nothing", " ")]
    middle, worst, lines = page.evaluate(SCROLL)
    summary = page.locator("summary", has_text="Groups").inner_text().split()[1].strip(",")
    page.close()
    numbers = sorted(predicted)[1], drawn, max(filtered), middle, worst, lines
    return [name, summary, *(f"{number:.0f}" for number in numbers)]


def test_pixels(lab: Any, browser: Any) -> None:
    print("\nnetwork, groups, ms from typing to the prediction, from a snapshot to its pixels, for")
    print("a filter at most; a frame of scrolling in the middle, at most; lines in the page")
    for name in SHOWN:
        print(*shown(lab, browser, name), sep="\t", flush=True)


if __name__ == "__main__":
    library = declare()
    print("network, groups, bytes of a snapshot, ms for it, ms for the first prediction, for later")
    for network in NETWORKS:
        print(*measured(network), sep="\t", flush=True)
    sys.exit(run(__file__) if "--browser" in sys.argv else 0)
