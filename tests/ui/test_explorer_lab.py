"""The explorer in JupyterLab: every click changes the model in the kernel, or says why not."""

import pytest
from driving import asked, command, opened, written

pytestmark = pytest.mark.ui

NETWORK = """
%load_ext spa_kernel
import torch
from torch import nn
torch.manual_seed(0)
class Block(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.one, self.two = (nn.Conv2d(c, c, 3, padding=1) for _ in range(2))
        self.bn = nn.BatchNorm2d(c)
    def forward(self, x):
        return x + self.two(torch.relu(self.bn(self.one(x))))
net = nn.Sequential(nn.Conv2d(3, 32, 3), Block(32), Block(32), nn.Conv2d(32, 64, 3, stride=2),
                    Block(64), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).eval()
%spa_analyze net --shape 1,3,32,32;
"""


@pytest.fixture
def page(lab, browser):
    notebook = written(lab, "explorer.ipynb", NETWORK, "%spa_show net explorer")
    page, problems = opened(lab, browser, notebook)
    command(page, "notebook:run-all-cells")
    button(page, "Prune").wait_for(timeout=120_000)
    yield page
    assert problems == []
    page.close()


def button(page, name):
    return page.locator(".spa-live").get_by_role("button", name=name)


def width(page):
    return int(asked(page, "net[3].weight.shape[0]"))


def said(page, text):
    page.locator(".spa-busy").get_by_text(text).first.wait_for(timeout=30_000)


def test_prune_undo_redo(page):
    prune, undo, redo = (
        page.locator(".spa-live").get_by_role("button", name=n) for n in ("Prune", "Undo", "Redo")
    )
    assert prune.is_enabled()
    assert undo.is_disabled()
    assert undo.get_attribute("title") == "nothing has been pruned yet"
    before = width(page)
    line = page.locator(".spa-line code").inner_text()
    # Twice, faster than anybody can see that it has worked.
    prune.dblclick()
    said(page, "Pruned, verified")
    after = width(page)
    assert after < before
    assert int(asked(page, "len(get_ipython()._spa_magics[0].names.session('net').history)")) == 2
    undo.click()
    said(page, "Undo done")
    assert width(page) == before
    redo.click()
    said(page, "Redo done")
    assert width(page) == after
    undo.click()
    said(page, "Undo done")
    # The line that was shown does the same.
    asked(page, "0", f"get_ipython().run_line_magic('spa_prune', {line.split(' ', 1)[1]!r})")
    assert width(page) == after


def test_what_is_foretold_follows_the_slider(page):
    facts = page.locator(".spa-live .spa-facts").first
    line = page.locator(".spa-line code")
    first = facts.inner_text()
    assert "--flops 2 " in line.inner_text() + " "
    handle = page.locator(".spa-controls .noUi-handle").first
    handle.focus()
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    line.get_by_text("--flops 2.2").wait_for()
    assert facts.inner_text() != first
    page.get_by_role("tab", name="Importance").click()
    mark = page.locator(".spa-heat-marks path.cut").first
    # A line that goes straight down has no width, and counts as hidden.
    mark.wait_for(state="attached")
    before = mark.bounding_box()["x"]
    handle.focus()
    for _ in range(10):
        page.keyboard.press("ArrowRight")
    line.get_by_text("--flops 2.7").wait_for()
    # Where the cut is, is drawn after what is foretold.
    page.wait_for_function(
        "x => document.querySelector('.spa-heat-marks path.cut').getBoundingClientRect().x > x + 3",
        arg=before,
    )
    for tab, shown in (
        ("Widths", ".spa-bar"), ("History", "text=Go to step"),
        ("Before and after", "text=as the plan would leave it"), ("Groups", ".custom-widget"),
    ):  # fmt: skip
        page.get_by_role("tab", name=tab).click()
        page.locator(".lm-TabPanel-stackedPanel, .widget-tab-contents").locator(
            shown
        ).first.wait_for()


def test_a_prune_that_was_typed_shows(page):
    asked(page, "0", "get_ipython().run_line_magic('spa_prune', 'net --flops 3')")
    page.locator(".spa-live").get_by_role("button", name="Undo").and_(
        page.locator(":enabled")
    ).wait_for()
