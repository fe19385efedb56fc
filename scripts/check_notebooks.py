"""Check that notebooks are committed without outputs; --strip removes them.

Usage: python scripts/check_notebooks.py [--strip] notebooks/*.ipynb
"""

import sys
from pathlib import Path

import nbformat


def main() -> int:
    strip = "--strip" in sys.argv
    failed = 0
    for path in map(Path, (argument for argument in sys.argv[1:] if argument != "--strip")):
        notebook = nbformat.read(path, as_version=4)
        dirty = [c for c in notebook.cells if c.get("outputs") or c.get("execution_count")]
        if not dirty:
            continue
        if strip:
            for cell in dirty:
                cell.outputs, cell.execution_count = [], None
            nbformat.write(notebook, path)
        else:
            failed = 1
            print(f"{path} holds outputs: python scripts/check_notebooks.py --strip {path}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
