"""Run a notebook without a browser and print what its cells print.

Usage: python scripts/run_notebook.py notebooks/tutorials/01-quickstart.ipynb
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError


def executed(path: Path, *more: str) -> nbformat.NotebookNode:
    """The notebook after all its cells, and some more, were run in a fresh kernel."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells += map(nbformat.v4.new_code_cell, more)
    client = NotebookClient(
        notebook,
        timeout=600,
        resources={"metadata": {"path": path.parent}},
        extra_arguments=["--log-level=ERROR"],
    )
    return client.execute()


def main() -> int:
    try:
        notebook = executed(Path(sys.argv[1]))
    except CellExecutionError as error:
        print(error, file=sys.stderr)
        return 1
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stdout":
                print(output.text, end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
