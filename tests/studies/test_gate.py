import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from spa_kernel.studies.gate import Gate


def in_threads(*works: Callable[[], None]) -> None:
    with ThreadPoolExecutor(len(works)) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def test_those_who_run_together_are_inside_at_once() -> None:
    gate, both = Gate(), threading.Barrier(2, timeout=60)

    def work() -> None:
        with gate.together():
            both.wait()

    in_threads(work, work)


def test_who_runs_alone_meets_nobody() -> None:
    gate, inside, met = Gate(), [], []

    def work(alone: bool) -> None:
        for _ in range(200):
            with gate.alone() if alone else gate.together():
                inside.append(alone)
                if True in inside and len(inside) > 1:
                    met.append(list(inside))
                inside.remove(alone)

    in_threads(*(lambda alone=alone: work(alone) for alone in (True, False, False, True)))
    assert not met
    assert not inside
