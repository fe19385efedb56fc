"""What tests in a browser do in JupyterLab."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_notebook

KERNEL = {"name": "python3", "display_name": "Python 3 (ipykernel)", "language": "python"}


def written(lab, name, *cells):
    """A notebook with these cells, in the lab's folder."""
    made = new_notebook(cells=[new_code_cell(cell.strip()) for cell in cells])
    made.metadata["kernelspec"] = KERNEL
    nbformat.write(made, lab.folder / name)
    return name


def opened(lab, browser, notebook):
    """A page with a notebook whose kernel is ready, and the list of its errors.

    What the page's console says above a warning is an error, from when the notebook is ready.
    """
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    problems = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.goto(lab.page(notebook, notebook.partition(".")[0]))
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=120_000)
    page.wait_for_selector(".jp-NotebookPanel-toolbar >> text=Python 3", timeout=60_000)
    # A kernel that is still connecting loses what it is asked to run.
    page.wait_for_function(
        "() => window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status"
        " === 'idle'",
        timeout=120_000,
    )
    page.wait_for_timeout(1000)
    page.on("console", lambda said: said.type == "error" and problems.append(said.text))
    return page, problems


def command(page, name, **arguments):
    """Run one of JupyterLab's commands."""
    page.evaluate(
        "([name, given]) => window.jupyterapp.commands.execute(name, given)", [name, arguments]
    )


def asked(page, expression, code=""):
    """What an expression is worth in the notebook's kernel, after some code has run there."""
    found = page.evaluate(
        """async ([expression, code]) => {
            const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
            const future = kernel.requestExecute({
                code, store_history: false, user_expressions: { found: expression },
            });
            return (await future.done).content;
        }""",
        [expression, code],
    )
    assert found["status"] == "ok", found
    assert found["user_expressions"]["found"]["status"] == "ok", found
    return found["user_expressions"]["found"]["data"]["text/plain"]


def seen_in_both_themes(page, views, tmp_path, name=""):
    """Screenshots of all views in light and dark; their text must stand out.

    They go to the folder named by SPA_SCREENSHOTS, if it is set.
    """
    folder = Path(os.environ.get("SPA_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    command(page, "application:toggle-left-area")
    for theme in ("Light", "Dark"):
        command(page, "apputils:change-theme", theme=f"JupyterLab {theme}")
        page.wait_for_selector(f'body[data-jp-theme-name="JupyterLab {theme}"]', state="attached")
        page.wait_for_timeout(1000)
        for number, view in enumerate(views.all()):
            assert contrast(view) > 7
            view.scroll_into_view_if_needed()
            page.wait_for_timeout(150)
            page.screenshot(path=folder / f"{name}{theme.lower()}-{number}.png")


def contrast(view):
    """How much the text of a view stands out from its ground, as WCAG counts it (1 to 21)."""
    text, ground = view.evaluate(
        """view => {
            const parts = colour => colour.match(/[\\d.]+/g).map(Number);
            let node = view;
            while (node && (parts(getComputedStyle(node).backgroundColor)[3] ?? 1) === 0)
                node = node.parentElement;
            return [parts(getComputedStyle(view).color),
                    parts(getComputedStyle(node).backgroundColor)];
        }"""
    )
    alpha = text[3] if len(text) > 3 else 1
    seen = [alpha * t + (1 - alpha) * g for t, g in zip(text[:3], ground[:3], strict=True)]
    low, high = sorted((luminance(seen), luminance(ground[:3])))
    return (high + 0.05) / (low + 0.05)


def luminance(colour):
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4
        for c in (part / 255 for part in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
