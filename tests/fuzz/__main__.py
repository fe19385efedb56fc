"""``python -m tests.fuzz --count 2000 --results FILE``: prune random networks, report.

Networks have numbers. Those that the results file holds already are left out, so a run that was
broken off goes on where it was. Each class of result is counted, refusals by their reason; every
network that must not be is made as small as it gets and printed with the number to repeat it:
``python -m tests.fuzz --only NUMBER``.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from .check import BAD, Result, examine, reason, reduced
from .network import Program, RandomNetwork, program


class TooLate(BaseException):
    """A network took more time than it may."""


@contextmanager
def within(seconds: float) -> Iterator[None]:
    def late(_: int, __: FrameType | None) -> None:
        raise TooLate

    signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def limited(made: Program, seconds: float) -> Result:
    try:
        with within(seconds):
            return examine(made)
    except TooLate:
        return {"class": "timeout", "message": f"more than {seconds:g} s"}


def one(number: int, seconds: float, reduce: bool) -> Result:
    """The result of one network; what must not be is made small."""
    torch.set_num_threads(1)
    started, made = time.perf_counter(), program(number)
    result = limited(made, seconds)
    if result["class"] in BAD and reduce:
        small = reduced(made, lambda p: limited(p, seconds)["class"] == result["class"])
        again = limited(small, seconds)
        result |= {"small": repr(small), "small_message": again["message"]}
    if result["class"] != "invalid":
        result["layers"] = RandomNetwork(made).names
    return {"number": number, **result, "seconds": round(time.perf_counter() - started, 2)}


def stored(path: Path | None) -> dict[int, Result]:
    lines = path.read_text().splitlines() if path is not None and path.exists() else []
    return {r["number"]: r for r in map(json.loads, lines)}


def summary(results: dict[int, Result]) -> None:
    """How many of each class, why they were refused, and which layers were tried."""
    classes = Counter(r["class"] for r in results.values())
    print(", ".join(f"{n} {name}" for name, n in classes.most_common()) or "no results")
    for kind in ("refused", "infeasible", "untested", "invalid", "timeout"):
        reasons = Counter(reason(r) for r in results.values() if r["class"] == kind)
        for text, n in reasons.most_common(12):
            print(f"  {kind} {n:5}  {text}")
    for r in results.values():
        if r["class"] in BAD:
            print(f"  {r['class']} {r['number']}: {r['message'][:200]} {r.get('where', '')}")
            print(f"    {r.get('small', '')}: {r.get('small_message', '')[:200]}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--count", type=int, default=200, help="how many networks")
    parser.add_argument("--start", type=int, default=0, help="number of the first one")
    parser.add_argument("--only", type=int, nargs="*", help="these numbers, also if known")
    parser.add_argument("--results", type=Path, help="JSON lines, added to as results come in")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=30, help="seconds per network")
    parser.add_argument("--again", action="store_true", help="only those that must not be, anew")
    parser.add_argument("--as-is", action="store_true", help="do not make them small")
    options = parser.parse_args()
    results = stored(options.results)
    wanted = options.only or range(options.start, options.start + options.count)
    if options.again:
        wanted = [n for n, r in results.items() if r["class"] in (*BAD, "timeout")]
    elif not options.only:
        wanted = [n for n in wanted if n not in results]
    tasks: dict[Any, int] = {}
    with ProcessPoolExecutor(options.jobs, get_context("fork")) as pool:
        for number in wanted:
            tasks[pool.submit(one, number, options.limit, not options.as_is)] = number
        for task in as_completed(tasks):
            result = results[tasks[task]] = task.result()
            if options.results:
                with options.results.open("a") as file:
                    file.write(json.dumps(result, default=str) + "\n")
            if result["class"] in BAD or options.only:
                print(json.dumps(result, default=str, indent=1), flush=True)
    summary(results)
    return int(any(r["class"] in BAD for r in results.values()))


if __name__ == "__main__":
    sys.exit(main())
