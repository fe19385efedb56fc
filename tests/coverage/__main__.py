"""``python -m tests.coverage KIND [NAME ...]``: prune published networks, check, report."""

from __future__ import annotations

import argparse
import importlib
import json
import multiprocessing as mp
import sys
import time
import warnings
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from tests import torchvision_operators

from . import worker
from .networks import KINDS, NEEDED, Source, source
from .page import CLASSES, page

Result = dict[str, Any]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.coverage", description=__doc__)
    parser.add_argument("kind", choices=[*KINDS, "all", "page"], help="page: only write the page")
    parser.add_argument("names", nargs="*", help="these networks only")
    parser.add_argument("--list", type=Path, help="file with the names of the networks")
    parser.add_argument("--zoo", type=Path, help="file with ZOO[name]() -> (model, inputs)")
    parser.add_argument(
        "--unverified", action="store_true", help="without the engine's own check: is it sound?"
    )
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--limit", type=float, default=120, help="seconds per network")
    parser.add_argument("--results", type=Path, help="JSON lines, added to as results come in")
    parser.add_argument("--missing", action="store_true", help="only those without a result yet")
    parser.add_argument("--write", type=Path, help="write the page, of all results in --results")
    return parser.parse_intermixed_args()


def child(made: Source, name: str, verify: bool, connection: Connection) -> None:
    """Runs in a process of its own."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    connection.send(worker.examine(lambda: made.build(name), connection.send, verify))


class Job:
    """One network being examined in a process of its own."""

    def __init__(self, made: Source, name: str, verify: bool) -> None:
        self.made, self.name, self.stage = made, name, "build"
        self.started = time.perf_counter()
        # Imports are done once, before the fork.
        context = mp.get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        self.process = context.Process(target=child, args=(made, name, verify, theirs))
        self.process.start()
        theirs.close()

    def poll(self, limit: float) -> Result | None:
        """The result once there is one."""
        seconds = time.perf_counter() - self.started
        try:
            while self.connection.poll():
                said = self.connection.recv()
                if isinstance(said, dict):
                    return self.finish(**said)
                self.stage = said
        except EOFError:
            self.process.join()
            died = f"the process ended with code {self.process.exitcode} in {self.stage}"
            return self.finish(**{"class": "crash", "message": died, "seconds": seconds})
        if seconds > limit:
            late = f"more than {limit:g} s, in {self.stage}"
            return self.finish(**{"class": "timeout", "message": late, "seconds": seconds})
        return None

    def finish(self, **said: Any) -> Result:
        self.process.kill()
        self.process.join()
        self.connection.close()
        return {"kind": self.made.kind, "name": self.name, **said}


def examine(
    made: Source, names: list[str], jobs: int, limit: float, verify: bool
) -> Iterator[Result]:
    """Results as they come in."""
    waiting, running = list(names), list[Job]()
    while waiting or running:
        while waiting and len(running) < jobs:
            running.append(Job(made, waiting.pop(0), verify))
        wait([job.connection for job in running], timeout=0.5)
        for job in list(running):
            result = job.poll(limit)
            if result is not None:
                running.remove(job)
                yield result


def stored(path: Path | None) -> dict[tuple[str, str], Result]:
    """The latest result of each network."""
    lines = path.read_text().splitlines() if path is not None and path.exists() else []
    return {(r["kind"], r["name"]): r for r in map(json.loads, lines)}


def wanted(made: Source, options: argparse.Namespace) -> list[str]:
    names: list[str] = options.names or made.names
    return options.list.read_text().split() if options.list else names


def main() -> int:
    options = arguments()
    results = stored(options.results)
    torch.set_num_threads(1)
    library = torchvision_operators.declare(run=True)
    kinds = KINDS if options.kind == "all" else () if options.kind == "page" else (options.kind,)
    for kind in kinds:
        made = source(kind, options.zoo)
        for module in NEEDED.get(kind, ()):
            importlib.import_module(module)
        names, verify = wanted(made, options), not options.unverified
        if options.missing:
            names = [name for name in names if (kind, name) not in results]
        for result in examine(made, names, options.jobs, options.limit, verify):
            results[kind, result["name"]] = result
            gone = f"{result['gone']:.0%} gone" if "gone" in result else ""
            said = " ".join(result.get("message", "").split())[:150]
            print(
                f"{result['name']:34} {result['class']:8} {result['seconds']:5.1f} s {gone} {said}",
                flush=True,
            )
            if options.results:
                with options.results.open("a") as file:
                    file.write(json.dumps(result, default=str) + "\n")
    if options.write:
        options.write.write_text(page(list(results.values())))
    classes = [r["class"] for (kind, _), r in results.items() if kind in kinds]
    print(", ".join(f"{classes.count(c)} {c}" for c in CLASSES))
    del library
    return int("WRONG" in classes or "crash" in classes)


if __name__ == "__main__":
    sys.exit(main())
