"""The views in Jupyter Notebook 7."""

import pytest
from driving import asked, command, opened, written
from test_explorer_lab import NETWORK

pytestmark = pytest.mark.ui


def test_views(notebook7, browser):
    name = written(notebook7, "views.ipynb", NETWORK, "%spa_show net explorer")
    page, problems = opened(notebook7, browser, name)
    # Notebook 7.6 itself trips over a setting while it starts.
    its_own = list(problems)
    command(page, "notebook:run-all-cells")
    prune = page.locator(".spa-live").get_by_role("button", name="Prune")
    prune.wait_for(timeout=120_000)
    page.wait_for_function(
        "() => document.querySelector('.custom-widget')?._cyreg?.cy.nodes().length > 4",
        timeout=60_000,
    )
    before = int(asked(page, "net[3].weight.shape[0]"))
    prune.click()
    page.locator(".spa-busy").get_by_text("Pruned, verified").wait_for(timeout=60_000)
    assert int(asked(page, "net[3].weight.shape[0]")) < before
    for tab in ("Importance", "Widths", "History", "Before and after"):
        page.get_by_role("tab", name=tab).click()
    page.locator(".spa-live img.spa-picture").wait_for(timeout=60_000)
    assert problems == its_own
    page.close()
