"""The first tutorial runs from top to bottom and keeps its promises."""

import copy
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbconvert import HTMLExporter

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
RESULT = re.compile(
    r"RF ([\d.]+), RP ([\d.]+), accuracy ([\d.]+)% -> ([\d.]+)% -> ([\d.]+)% after fine-tuning, "
    r"([\d.]+)% after undo"
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    notebook = nbformat.read(NOTEBOOKS / "tutorials" / "01-quickstart.ipynb", as_version=4)
    folder = tmp_path_factory.mktemp("quickstart")
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    notebook.metadata["folder"] = str(folder)
    return notebook


def outputs(notebook):
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def test_the_result_line(executed):
    printed = [o.text for o in outputs(executed) if o.output_type == "stream"]
    rf, _, first, _, tuned, restored = map(float, RESULT.search(printed[-1]).groups())
    assert rf >= 2
    assert restored == first > 95
    assert tuned > first - 3


def test_nothing_is_written_in_red(executed):
    assert [o.text for o in outputs(executed) if o.get("name") == "stderr"] == []


def test_every_result_is_shown_as_html_and_text(executed):
    shown = [
        o.data for o in outputs(executed) if "spa-view" in o.get("data", {}).get("text/html", "")
    ]
    assert len(shown) >= 6
    assert all(data["text/plain"] for data in shown)


def test_the_exported_model_is_the_small_one(executed):
    onnx = pytest.importorskip("onnx")
    onnx.checker.check_model(onnx.load(Path(executed.metadata["folder"]) / "digits.onnx"))


@pytest.fixture(params=["saved in the lab", "without widgets"])
def page(executed, request, monkeypatch):
    """The notebook as an HTML page."""
    executed = copy.deepcopy(executed)
    # The lab saves no state of widgets unless it is told to.
    del executed.metadata["widgets"]
    if request.param == "without widgets":
        monkeypatch.setenv("SPA_KERNEL_NO_WIDGETS", "1")
        last = next(i for i, cell in enumerate(executed.cells) if "spa_show" in cell.source)
        del executed.cells[last + 1 :]
        NotebookClient(executed, timeout=300, kernel_name="python3").execute()
    return HTMLExporter().from_notebook_node(executed)[0]


def test_a_page_shows_the_static_twin_of_every_view(page):
    assert "widget-view" not in page
    for words in ("Coupling graph of", "Importance by l2"):
        assert re.search(rf'<img[^>]*alt="[^"]*{words}', page), words
    assert page.count('class="spa-table"') >= 2
