"""The tutorial in JupyterLab, in a browser, in both themes.

Screenshots go to the folder named by SPA_SCREENSHOTS, if it is set.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.ui


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_quickstart(theme, start_lab, browser, tmp_path):
    lab = start_lab(theme)
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(lab.page("quickstart.ipynb", "quickstart"))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
    page.wait_for_selector(".jp-NotebookPanel-toolbar >> text=Python 3", timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_selector(".jp-OutputArea-output >> text=after undo", timeout=180_000)

    views = page.locator(".spa-view")
    assert views.count() >= 6
    session, plan = views.nth(0), views.nth(2)
    assert session.locator("tbody tr").count() >= 4
    members = session.locator("tbody details").first
    members.locator("summary").click()
    assert members.locator("li").first.is_visible()
    members.locator("summary").click()
    assert "nothing is changed yet" in plan.inner_text()
    assert plan.locator(".spa-bar").first.bounding_box()["height"] > 4
    assert (
        page.locator(
            ".jp-OutputArea-output[data-mime-type='application/vnd.jupyter.stderr']"
        ).count()
        == 0
    )
    assert problems == []

    for view in views.all():
        text, ground = view.evaluate(
            """view => {
                let node = view;
                const shade = colour => colour.match(/[\\d.]+/g).map(Number);
                while (node && (shade(getComputedStyle(node).backgroundColor)[3] ?? 1) === 0)
                    node = node.parentElement;
                return [shade(getComputedStyle(view).color),
                        shade(getComputedStyle(node).backgroundColor)];
            }"""
        )
        assert abs(sum(text[:3]) - sum(ground[:3])) > 300, "text must stand out from its ground"

    folder = Path(os.environ.get("SPA_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    name = theme.split()[-1].lower()
    for number in range(views.count()):
        views.nth(number).scroll_into_view_if_needed()
        page.wait_for_timeout(150)
        page.screenshot(path=folder / f"{name}-{number}.png")
    page.close()
