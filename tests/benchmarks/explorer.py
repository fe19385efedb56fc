"""How long a step of the explorer's slider takes until the prediction is on the screen.

Run as ``python tests/benchmarks/explorer.py``; needs torchvision, playwright and Chromium. Keys are
pressed one after the other, each when what the one before did can be seen; the median and the
longest of `STEPS` are printed, in milliseconds, for each tab that is open below the prediction.
"""

from __future__ import annotations

import sys

from _browser import TESTS, run
from driving import command, opened, written

NETWORKS = "resnet50", "densenet201", "swin_t"
STEPS = 20
SETUP = """
import sys
sys.path.insert(0, {tests!r})
from torchvision_operators import declare
declared = declare()
import torchvision
%load_ext spa_kernel
net = torchvision.models.{name}(weights=None).eval()
%spa_analyze net --shape 1,3,224,224;
"""
STEP = """() => new Promise(resolve => {
    const handle = document.querySelector('.spa-controls .noUi-handle');
    const line = document.querySelector('.spa-line').parentElement;
    const start = performance.now();
    const watcher = new MutationObserver(() => {
        watcher.disconnect();
        requestAnimationFrame(() => resolve(performance.now() - start));
    });
    watcher.observe(line, { childList: true, subtree: true, characterData: true });
    handle.dispatchEvent(new KeyboardEvent('keydown', { key: 'Right', bubbles: true }));
    handle.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight', bubbles: true }));
})"""


def test_steps(lab, browser):
    for name in NETWORKS:
        cells = SETUP.format(tests=str(TESTS), name=name), "%spa_show net explorer"
        page, _ = opened(lab, browser, written(lab, f"{name}.ipynb", *cells))
        command(page, "notebook:run-all-cells")
        page.locator(".spa-live").get_by_role("button", name="Prune").wait_for(timeout=180_000)
        for tab in ("Groups", "Importance", "Widths"):
            page.get_by_role("tab", name=tab).click()
            page.wait_for_timeout(3000)
            took = sorted(page.evaluate(STEP) for _ in range(STEPS))
            print(f"\n{name}, {tab}: median {took[STEPS // 2]:.0f} ms, longest {took[-1]:.0f}")
        page.close()


if __name__ == "__main__":
    sys.exit(run(__file__))
