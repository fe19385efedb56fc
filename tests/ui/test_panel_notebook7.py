"""The side panel in Jupyter Notebook 7."""

import pytest
from playwright.sync_api import expect
from test_panel_lab import NETWORK, notebook, sources

pytestmark = pytest.mark.ui


def test_the_panel_opens_and_prunes(notebook7, browser):
    page, problems, panel = notebook(notebook7, browser, "side.ipynb", NETWORK)
    # Notebook 7.6 itself trips over a setting while it starts.
    its_own = list(problems)
    page.evaluate("() => void window.jupyterapp.commands.execute('notebook:run-all-cells')")
    panel.get_by_role("button", name="Load spa_kernel here").click()
    shape = panel.get_by_role("textbox", name="Example input of net")
    shape.fill("1,1,8,8")
    shape.press("Enter")
    steps = panel.locator(".spa-Panel-history button")
    expect(panel.locator(".spa-Panel-outcome")).to_have_attribute("data-state", "done")
    panel.get_by_role("button", name="Prune", exact=True).click()
    expect(steps.nth(1)).to_have_attribute("aria-current", "step")
    panel.get_by_role("button", name="Undo").click()
    expect(steps.nth(0)).to_have_attribute("aria-current", "step")
    assert sources(page) == [
        "%load_ext spa_kernel", "%spa_analyze net --shape 1,1,8,8",
        "%spa_prune net --criterion l1 --flops 2 --scope global", "%spa_undo net",
    ]  # fmt: skip
    assert problems == its_own
    page.close()
