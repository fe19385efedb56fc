"""The tutorial in JupyterLab, in a browser, in both themes."""

import pytest
from driving import command, opened, seen_in_both_themes

pytestmark = pytest.mark.ui


def test_quickstart(lab, browser, tmp_path):
    page, problems = opened(lab, browser, "01-quickstart.ipynb")
    command(page, "notebook:run-all-cells")
    page.wait_for_selector(".jp-OutputArea-output >> text=after undo", timeout=300_000)

    views = page.locator(".spa-view")
    assert views.count() >= 6
    page.locator(".spa-live").get_by_text("All of it as tables").click()
    session = views.filter(has_text="Cut together").first
    plan = views.filter(has_text="nothing is changed yet")
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

    seen_in_both_themes(page, views, tmp_path)
    page.close()
