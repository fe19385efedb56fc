"""Time and memory of notebooks, each in a fresh kernel, as a table.

Usage: OMP_NUM_THREADS=2 python scripts/measure_notebooks.py notebooks/tutorials/*.ipynb

Seconds are those of a clock, the start of the kernel included, and of the processor, which others
on the machine do not disturb; memory is the most that the kernel's process held (resident). A
notebook that asks for more than 1.5 GB of its own (what Linux counts as data) fails.
"""

import resource
import sys
import time
from pathlib import Path

from run_notebook import executed

LIMIT = 1_500_000_000

ASK = """
import resource as _r
_used = _r.getrusage(_r.RUSAGE_SELF)
_unit = 1e6 if __import__("sys").platform == "darwin" else 1e3
print(_used.ru_utime + _used.ru_stime, _used.ru_maxrss / _unit)
"""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))  # kernels inherit it
    print("| notebook | seconds | of the processor | memory, MB |")
    print("|:--|--:|--:|--:|", flush=True)
    for path in map(Path, sys.argv[1:]):
        started = time.monotonic()
        notebook = executed(path, ASK)
        seconds = time.monotonic() - started
        processor, memory = map(float, notebook.cells[-1].outputs[-1].text.split())
        print(f"| {path.stem} | {seconds:.0f} | {processor:.0f} | {memory:.0f} |", flush=True)


if __name__ == "__main__":
    main()
