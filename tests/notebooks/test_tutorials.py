"""Every tutorial runs in a fresh kernel from top to bottom, says nothing in red, and is tidy."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ALL = sorted(NOTEBOOKS.glob("**/*.ipynb"))
# The first one has tests of its own.
TUTORIALS = sorted((NOTEBOOKS / "tutorials").glob("*.ipynb"))[1:]
LINK = re.compile(r"\]\(([^)#]+)\)")

named = {"ids": lambda path: path.stem}


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, **named)
def test_it_runs(path):
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": path.parent}},
        extra_arguments=["--log-level=ERROR"],
    ).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [o.text for o in outputs if o.get("name") == "stderr"] == []


@pytest.mark.parametrize("path", ALL, **named)
def test_it_is_committed_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("path", ALL, **named)
def test_its_links_lead_somewhere(path):
    texts = [c.source for c in nbformat.read(path, as_version=4).cells if c.cell_type == "markdown"]
    links = [link for text in texts for link in LINK.findall(text) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_all_are_in_the_list():
    listed = LINK.findall((NOTEBOOKS / "README.md").read_text(encoding="utf-8"))
    for path in (NOTEBOOKS / "tutorials").glob("*.ipynb"):
        assert str(path.relative_to(NOTEBOOKS)) in listed


def test_the_trained_weights_are_small():
    assert sum(file.stat().st_size for file in (NOTEBOOKS / "data").iterdir()) < 2e6
