"""The side panel in JupyterLab: everything that it does is a cell, and it follows what cells do."""

import os
import time

import nbformat
import numpy as np
import onnx
import pytest
from conftest import TOKEN
from driving import command, opened, seen_in_both_themes, written
from nbclient import NotebookClient
from playwright.sync_api import expect

pytestmark = pytest.mark.ui

expect.set_options(timeout=60_000)
NETWORK = """
import torch
from torch import nn
torch.manual_seed(0)
net = nn.Sequential(
    nn.Conv2d(1, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
    nn.Conv2d(16, 24, 3, 2, 1), nn.BatchNorm2d(24), nn.ReLU(),
    nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(24, 10)).eval()
"""
ANALYSED = f"%load_ext spa_kernel\n{NETWORK}\nsession = %spa_analyze net --shape 1,1,8,8"


def notebook(lab, browser, name, *cells):
    """A page with a notebook of these cells, and the panel at its right."""
    written(lab, name, *cells)
    page, problems = opened(lab, browser, name)
    if not page.evaluate("window.jupyterapp.commands.hasCommand('spa-kernel:open-panel')"):
        missing = pytest.fail if os.environ.get("SPA_BROWSER") == "required" else pytest.skip
        missing("the side panel is not built: python scripts/labextension.py")
    command(page, "spa-kernel:open-panel")
    return page, problems, page.locator("#spa-kernel-panel")


def run(page, code):
    """Run code in a new cell at the end; does not wait for it."""
    page.evaluate(
        """async code => {
            const { commands, shell } = window.jupyterapp;
            const { content } = shell.currentWidget;
            content.activeCellIndex = content.widgets.length - 1;
            await commands.execute('notebook:insert-cell-below');
            content.activeCell.model.sharedModel.setSource(code);
            void commands.execute('notebook:run-cell');
        }""",
        code,
    )


def show(page, path):
    """Go to a notebook."""
    page.evaluate(
        "async path => void await window.jupyterapp.commands.execute('docmanager:open', { path })",
        path,
    )


def sources(page):
    return page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.model.sharedModel.cells
            .map(cell => cell.getSource()).filter(source => source.startsWith('%'))"""
    )


def right(workspace):
    """What a kept layout shows at the right."""
    return workspace["data"].get("layout-restorer:data", {}).get("right", {}).get("current")


def weights(path):
    return [onnx.numpy_helper.to_array(i) for i in onnx.load(path).graph.initializer]


def test_all_that_is_done_in_the_panel_stands_in_the_notebook(lab, browser, tmp_path):
    page, problems, panel = notebook(lab, browser, "alone.ipynb", NETWORK)
    command(page, "notebook:run-all-cells")
    panel.get_by_role("button", name="Load spa_kernel here").click()
    shape = panel.get_by_role("textbox", name="Example input of net")
    shape.fill("1,1,8,8")
    shape.press("Enter")

    target = panel.get_by_role("spinbutton", name="times fewer FLOPs")
    target.fill("3")
    line = "%spa_prune net --criterion l1 --flops 3 --scope global"
    expect(panel.locator(".spa-Panel-outcome code")).to_have_text(line)
    expect(panel.locator(".spa-Panel-width.spa-mod-then")).to_have_count(2)
    panel.get_by_role("button", name="Show plan").click()
    page.wait_for_selector("text=nothing is changed yet")
    panel.get_by_role("button", name="Prune", exact=True).click()
    steps = panel.locator(".spa-Panel-history button")
    expect(steps.nth(1)).to_have_attribute("aria-current", "step")
    panel.get_by_role("button", name="Undo").click()
    expect(steps.nth(0)).to_have_attribute("aria-current", "step")
    panel.get_by_role("button", name="Redo").click()
    expect(steps.nth(1)).to_have_attribute("aria-current", "step")
    # A click on a step goes there.
    steps.nth(0).click()
    expect(steps.nth(0)).to_have_attribute("aria-current", "step")
    steps.nth(1).click()
    expect(steps.nth(1)).to_have_attribute("aria-current", "step")
    panel.locator("summary", has_text="Export").click()
    panel.get_by_role("button", name="Export").click()
    page.wait_for_selector(".jp-OutputArea-output >> text=net.onnx", timeout=60_000)

    assert sources(page) == [
        "%load_ext spa_kernel", "%spa_analyze net --shape 1,1,8,8", f"{line} --dry-run", line,
        "%spa_undo net", "%spa_redo net", "%spa_undo net", "%spa_redo net",
        "%spa_export net net.onnx",
    ]  # fmt: skip
    assert problems == []
    seen_in_both_themes(page, panel, tmp_path, "panel-")
    command(page, "docmanager:save")
    expect(page.locator(".jp-mod-dirty")).to_have_count(0)
    page.close()

    again = nbformat.read(lab.folder / "alone.ipynb", 4)
    NotebookClient(again, resources={"metadata": {"path": str(tmp_path)}}).execute()
    first, second = weights(lab.folder / "net.onnx"), weights(tmp_path / "net.onnx")
    assert len(first) == len(second) > 4
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_the_panel_follows_cells_and_kernels(lab, browser):
    page, problems, panel = notebook(lab, browser, "follows.ipynb", ANALYSED)
    expect(panel).to_contain_text("spa_kernel is not loaded")
    command(page, "notebook:run-all-cells")
    steps = panel.locator(".spa-Panel-history button")
    expect(steps).to_have_count(1)
    run(page, "report = %spa_prune net --flops 2")
    expect(steps).to_have_count(2)
    expect(page.locator(".jp-StatusBar-Widget")).to_contain_text("fewer FLOPs")
    run(page, "session.undo()")
    expect(steps.nth(0)).to_have_attribute("aria-current", "step")

    # While a cell runs, predictions come and actions wait.
    expect(panel.locator(".spa-Panel-outcome")).to_have_attribute("data-state", "done")
    run(page, "import time\nfor _ in range(600): time.sleep(0.1)")
    redo = panel.get_by_role("button", name="Redo")
    expect(redo).to_have_attribute(
        "title", "The kernel is busy: this waits until the cell is done."
    )
    panel.get_by_role("spinbutton").fill("1.5")
    expect(panel.locator(".spa-Panel-outcome code")).to_contain_text("--flops 1.5")
    redo.click(force=True)
    assert "%spa_redo net" not in sources(page)
    command(page, "notebook:interrupt-kernel")
    expect(redo).not_to_have_attribute("aria-disabled", "true")

    # Another notebook has another kernel, and other networks.
    show(page, written(lab, "other.ipynb", ANALYSED.replace("net", "other")))
    expect(panel).to_contain_text("spa_kernel is not loaded")
    command(page, "notebook:run-all-cells")
    network = panel.get_by_role("combobox", name="Network")
    expect(network).to_have_value("other")
    show(page, "follows.ipynb")
    expect(network).to_have_value("net")
    expect(panel.get_by_role("spinbutton")).to_have_value("1.5")

    # After a restart the kernel knows nothing, and the panel neither.
    page.evaluate("window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    expect(panel).to_contain_text("spa_kernel is not loaded")
    run(page, ANALYSED)
    expect(network).to_have_value("net")
    # JupyterLab's debugger may be asking the kernel something just when it restarts.
    assert [problem for problem in problems if "debugger" not in problem] == []
    page.close()


def test_the_panel_says_why_it_shows_nothing(lab, browser):
    patch = "from spa_kernel.panel import protocol, answers\nprotocol.VERSION = answers.VERSION = "
    for version, kind in ((0, "older"), (2, "newer")):
        cell = f"{patch}{version}\n%load_ext spa_kernel"
        page, problems, panel = notebook(lab, browser, f"{kind}.ipynb", cell)
        command(page, "notebook:run-all-cells")
        expect(panel).to_contain_text(f"spa_kernel in this kernel is {kind}")
        if kind == "older":
            assert problems == []
            page.close()
    command(page, "notebook:shutdown-kernel")
    expect(panel).to_contain_text("This notebook has no kernel")
    assert problems == []
    page.close()


def test_palette_shortcut_copies_and_layout(lab, browser):
    setting = f"{lab.address}/lab/api/settings/spa-kernel:plugin"
    headers = {"Authorization": f"token {TOKEN}"}
    name = written(lab, "keys.ipynb", ANALYSED)
    page = browser.new_page()
    page.request.put(setting, headers=headers, data={"raw": '{"recordAs": "copy"}'})
    page.close()
    try:
        page, problems = opened(lab, browser, name)
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        panel = page.locator("#spa-kernel-panel")
        expect(panel).not_to_be_visible()
        page.keyboard.press("Control+Alt+P")
        expect(panel).to_be_visible()
        command(page, "notebook:run-all-cells")
        expect(panel.locator(".spa-Panel-outcome")).to_have_attribute("data-state", "done")

        page.keyboard.press("Control+Shift+C")
        page.get_by_role("textbox", name="Search").last.fill("Prune as Set in the Panel")
        page.keyboard.press("Enter")
        expect(page.get_by_text("Copied: %spa_prune net")).to_be_visible()
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == "%spa_prune net --criterion l1 --flops 2 --scope global"
        assert copied not in sources(page)

        # The layout is kept a moment later.
        kept = f"{lab.address}/lab/api/workspaces/keys"
        until = time.monotonic() + 60
        while right(page.request.get(kept, headers=headers).json()) != "spa-kernel-panel":
            assert time.monotonic() < until
            page.wait_for_timeout(200)
        page.goto(lab.page(name, "keys").removesuffix("&reset"))
        expect(panel).to_be_visible()
        assert problems == []
        page.close()
    finally:
        page = browser.new_page()
        page.request.put(setting, headers=headers, data={"raw": "{}"})
        page.close()
