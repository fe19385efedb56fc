"""Many criteria at many targets: which is best, and what does a smaller model cost."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any

from spa_kernel import progress
from spa_kernel.studies.gate import GATE
from spa_kernel.studies.known import Known
from spa_kernel.studies.outcome import Sweep
from spa_kernel.studies.point import (
    Evaluate,
    Outcome,
    Work,
    baseline,
    called,
    packed,
    point,
    unheard,
)
from spa_kernel.studies.sensitivity import SCORING
from spa_kernel.studies.wishes import (
    Wishes,
    check_names,
    criterion_wish,
    default,
    labelled,
    listed,
    target_wish,
)

if TYPE_CHECKING:
    from spa_kernel.importance.registry import Criterion
    from spa_kernel.session import Session


def sweep(
    session: Session,
    criteria: Any,
    targets: Any,
    evaluate: Evaluate,
    *,
    executor: Executor | None = None,
    finetune: Callable[[Any], Any] | None = None,
    larger_is_better: bool = True,
    **settings: Any,
) -> Sweep:
    """Prune copies of a model by every criterion to every target, and evaluate them.

    Each point has a copy of the model, analysed with the session's example inputs; the session
    and its model are left as they are. Scores are worked out here, once per criterion, whatever
    the targets, so that neither ``data`` nor criteria of your own are sent anywhere (with
    ``steps=`` they are, as scores are then worked out anew on the way).

    Parameters
    ----------
    session : Session
    criteria : list of str, callable or dict
        Names, or settings such as ``{"criterion": "l1", "agg": "sum", "norm": "max"}`` which
        override ``settings``.
    targets : list of float or dict
        Settings such as ``{"params": 3}``; a number means FLOPs.
    evaluate : callable
        ``evaluate(model) -> float``, an accuracy or a loss, say; of an ONNX session it is given
        a ModelProto.
    executor : concurrent.futures.Executor, optional
        Where the points are worked out, several at a time: a ThreadPoolExecutor; a
        ProcessPoolExecutor (of ``multiprocessing.get_context("spawn")``: torch does not stand
        forks); ``client.get_executor()`` of Dask; ``view.executor`` of ipyparallel. One after the
        other, here, if not given.
    finetune : callable, optional
        ``finetune(model)`` trains the pruned copy in place before it is evaluated. Let it set
        its own seed if results are to be repeatable.
    larger_is_better : bool
        ``False`` for a loss.
    **settings
        As for `Session.prune`, for all points.

    Returns
    -------
    Sweep
        A point that was refused, or where ``evaluate`` or ``finetune`` failed, is a row with the
        text of the error. After an interruption (KeyboardInterrupt) nothing new is begun, and
        the result holds what was computed; ``complete`` is ``False`` then.

    Raises
    ------
    InfeasibleTarget
        A criterion that does not exist, or something that is no target.
    SpaError
        Something cannot be sent to the executor's processes.
    Exception
        What ``evaluate`` raises on the model as it is.
    """
    session.backend.check()
    rows = labelled(map(criterion_wish, listed(criteria)), "criteria")
    columns = labelled(map(target_wish, listed(targets)), "targets")
    check_names([settings, *rows.values(), *columns.values()])
    if isinstance(settings.get("data"), Iterator):
        # It could be read only once.
        settings["data"] = list(settings["data"])
    work = Work(session.model, session.backend.given, evaluate, finetune)
    result = Sweep([], None, list(rows), list(columns), called(evaluate), larger_is_better)
    with progress.shown():
        points = [
            (label, column, {**settings, **wish, **target})
            for label, wish in rows.items()
            for column, target in columns.items()
        ]
        Run(session, work, executor or Here(), result).all(points)
    return result


class Here(Executor):
    """Does what it is given at once."""

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


class Run:
    """One sweep under way; fills its result."""

    def __init__(self, session: Session, work: Work, executor: Executor, result: Sweep) -> None:
        self.session, self.executor, self.result = session, executor, result
        self.away = not isinstance(executor, Here | ThreadPoolExecutor)
        self.work: Work | bytes = work.pack() if self.away else work
        self.begun: list[tuple[Future[Outcome], str, str, Wishes]] = []
        self.scores: dict[str, Criterion | Exception] = {}

    def all(self, points: Iterable[tuple[str, str, Wishes]]) -> None:
        """Work out all points, or those that are done before an interruption."""
        try:
            first: Future[float] = self.executor.submit(baseline, self.work)
            for label, column, wishes in points:
                if first.done():
                    # Where this fails, nothing else can work.
                    self.result.baseline = first.result()
                self.tell()
                self.begun.append((self.begin(label, wishes), label, column, wishes))
            self.result.baseline = first.result()
            for done in as_completed([entry[0] for entry in self.begun]):
                self.tell()
                if isinstance(done.exception(), KeyboardInterrupt):
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            # The result says itself that something is missing.
            pass
        finally:
            for future, *_ in self.begun:
                if not future.done():
                    future.cancel()
            self.gather()

    def begin(self, label: str, wishes: Wishes) -> Future[Outcome]:
        """Hand one point to the executor."""
        try:
            wish: Wishes | bytes = self.scored(label, wishes)
            if self.away:
                wish = packed(wish, "a setting")
            return self.executor.submit(point, self.work, wish)
        except Exception as error:
            future: Future[Outcome] = Future()
            future.set_exception(error)
            return future

    def scored(self, label: str, wishes: Wishes) -> Wishes:
        """Wishes in which the criterion has its scores already, worked out once."""
        if wishes.get("steps", 1) != 1:
            return wishes
        if label not in self.scores:
            self.scores[label] = self.score(wishes)
        known = self.scores[label]
        if isinstance(known, Exception):
            raise known
        # New weights are worked out from data at every point.
        kept = ("data", "calibration") if wishes.get("reconstruct", known.reconstruct) else ()
        rest = {n: wish for n, wish in wishes.items() if n not in SCORING or n in kept}
        return {**rest, "criterion": known, "norm": "none"}

    def score(self, wishes: Wishes) -> Criterion | Exception:
        scoring = {name: wishes[name] for name in SCORING if name in wishes}
        try:
            with GATE.alone(), progress.listening(unheard):
                scores = self.session.importance(wishes["criterion"], **scoring)
            return Known(self.session.analysis.coupling, scores).criterion(wishes["criterion"])
        except Exception as error:
            return error

    def tell(self) -> None:
        """Say how many points are done."""
        done = sum(entry[0].done() for entry in self.begun)
        progress.report("sweeping", done, self.result.total)

    def gather(self) -> None:
        """Rows of all points that came to an end."""
        for future, label, column, wishes in self.begun:
            if not future.done() or future.cancelled():
                continue
            failed = future.exception()
            if failed is None:
                self.result.rows.append(row(label, column, wishes, future.result()))
            elif isinstance(failed, Exception):
                told = Outcome(error=f"{type(failed).__name__}: {failed}")
                self.result.rows.append(row(label, column, wishes, told))


def row(label: str, column: str, wishes: Wishes, outcome: Outcome) -> dict[str, Any]:
    """What is told of a point."""
    return {
        "label": label,
        "criterion": wishes["criterion"].name,
        "agg": wishes.get("agg", default("agg")),
        "norm": wishes.get("norm") or wishes["criterion"].norm,
        "target": column,
        "rf": outcome.rf,
        "rp": outcome.rp,
        "value": outcome.value,
        "seconds": outcome.seconds,
        "error": outcome.error,
    }
