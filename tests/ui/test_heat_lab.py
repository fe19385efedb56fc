"""The live heatmap in JupyterLab: it is drawn, follows a plan, and says what went wrong."""

import pytest
from driving import command, opened, seen_in_both_themes, written

pytestmark = pytest.mark.ui

CELLS = [
    """
import torch, spa_kernel as spa
from torch import nn
from spa_kernel.views.widgets.heat import HeatView
torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.Conv2d(24, 32, 3), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))
session = spa.analyze(net, (1, 3, 16, 16), name="net")
view = HeatView(session)
view.widget""",
    """
view.show(session.plan(ratio=0.25))
print("first", "plan")""",
    """
plan = session.plan(ratio=0.5)
view.show(plan)
print("second", "plan")""",
    """
session.prune(plan)
view.refresh()
print("pruned", [len(scores) for scores in view.scores.values()])""",
]


def cut(page):
    """Where the cut line of the first row is, on the screen."""
    box = page.locator(".spa-heat-marks path.cut").first.bounding_box()
    return box["x"] + box["width"] / 2


def run(page, text):
    command(page, "notebook:run-cell-and-select-next")
    page.wait_for_selector(f".jp-OutputArea-output >> text={text}", timeout=60_000)


def choose(page, label, option):
    page.get_by_label(label, exact=True).select_option(option)


def test_heat(lab, browser, tmp_path):
    page, problems = opened(lab, browser, written(lab, "heat.ipynb", *CELLS))

    command(page, "notebook:run-cell-and-select-next")
    colours = page.locator(".spa-heat-view svg[aria-label^=Importance]")
    colours.wait_for(timeout=120_000)
    # The colour bar, and a row per group that can lose channels.
    assert colours.locator("image").count() == 1 + 3
    assert page.locator(".spa-heat-marks .cut").count() == 0

    run(page, "first plan")
    page.wait_for_selector(".spa-heat-marks path.cut", state="attached")
    strip = colours.locator("rect.rim").nth(1).bounding_box()
    first = cut(page)
    assert strip["x"] < first < strip["x"] + strip["width"]
    run(page, "second plan")
    page.wait_for_function(
        "before => document.querySelector('.spa-heat-marks path.cut')"
        ".getBoundingClientRect().x > before + 10",
        arg=first,
    )
    seen_in_both_themes(page, page.locator(".spa-heat-view"), tmp_path, "heat-")

    # Both layers are of one size, and hovering reaches what goes as well as what stays.
    assert colours.bounding_box() == page.locator(".spa-heat-marks svg").bounding_box()
    for x, word in ((2, "goes"), (strip["width"] - 2, "stays")):
        told = page.evaluate(
            "([x, y]) => document.elementFromPoint(x, y).querySelector('title').textContent",
            [
                colours.locator("rect.rim").nth(1).bounding_box()["x"] + x,
                colours.locator("rect.rim").nth(1).bounding_box()["y"] + 4,
            ],
        )
        assert word in told

    choose(page, "Compare with", "l2")
    page.wait_for_selector(".spa-heat-view >> text=Rank agreement over all channels")
    assert colours.locator("image").count() == 1 + 2 * 3
    seen_in_both_themes(page, page.locator(".spa-heat-view"), tmp_path, "heat-pair-")
    choose(page, "Compare with", "(none)")
    choose(page, "Criterion", "bn_scale")
    page.wait_for_selector(".spa-heat-view >> text=without scores of bn_scale")

    run(page, "pruned [")
    page.wait_for_selector(".spa-heat-marks svg", state="attached")
    assert page.locator(".spa-heat-marks .cut").count() == 0
    assert problems == []
    page.close()
