"""One point of a sweep: a copy of the model is pruned, trained a little if asked, and evaluated.

This is what other processes and machines are sent, so all of it can be pickled.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spa_kernel import progress
from spa_kernel.errors import SpaError
from spa_kernel.studies.gate import GATE

Evaluate = Callable[[Any], float]


@dataclass(frozen=True, slots=True)
class Work:
    """What all points have in common.

    Attributes
    ----------
    model, inputs
        As for `spa_kernel.analyze`.
    evaluate : callable
        ``evaluate(model) -> float``.
    finetune : callable or None
        ``finetune(model)`` trains in place.
    """

    model: Any
    inputs: Any
    evaluate: Evaluate
    finetune: Callable[[Any], Any] | None

    def copy(self) -> Work:
        """The same with a model of its own."""
        return replace(self, model=copy.deepcopy(self.model))

    def pack(self) -> bytes:
        """All of it for another process, functions of a notebook included.

        Raises
        ------
        SpaError
            Something cannot be sent; the message says what.
        """
        try:
            return pack(self)
        except Exception:
            for field in fields(self):
                packed(getattr(self, field.name), field.name)
            raise


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a point; ``value`` is ``None`` where ``error`` says why."""

    rf: float | None = None
    rp: float | None = None
    value: float | None = None
    seconds: float = 0.0
    error: str = ""


def pack(thing: Any) -> bytes:
    """Pickle by value what was defined in a notebook, which another process cannot import."""
    import cloudpickle

    content: bytes = cloudpickle.dumps(thing)
    return content


def packed(thing: Any, what: str) -> bytes:
    """As `pack`, or `SpaError` that says what cannot be sent."""
    try:
        return pack(thing)
    except Exception as error:
        raise SpaError(
            f"{what} cannot be sent to another process: {type(error).__name__}: {error}. Let it "
            "make or open inside the function what cannot be pickled (files, locks, generators), "
            "or sweep without executor= or with a ThreadPoolExecutor"
        ) from error


def unpacked(content: bytes) -> Any:
    """What was packed."""
    import cloudpickle

    return cloudpickle.loads(content)


def baseline(work: Work | bytes) -> float:
    """The value of the model as it is; what ``evaluate`` raises is not caught."""
    with GATE.alone():
        own: Work = unpacked(work) if isinstance(work, bytes) else work.copy()
    with GATE.together(), progress.listening(unheard):
        return measured(own.evaluate, own.model)


def point(work: Work | bytes, wishes: Mapping[str, Any] | bytes) -> Outcome:
    """Prune a copy, train and evaluate it.

    Parameters
    ----------
    work : Work or bytes
        Packed where this is another process.
    wishes : mapping or bytes
        For `Session.prune`.

    Returns
    -------
    Outcome
        Any `Exception` on the way is told there.
    """
    from spa_kernel.session import analyze

    rf = rp = None
    seconds = 0.0
    try:
        with progress.listening(unheard):
            with GATE.alone():
                start = time.perf_counter()
                own: Work = unpacked(work) if isinstance(work, bytes) else work.copy()
                wish = unpacked(wishes) if isinstance(wishes, bytes) else wishes
                report = analyze(own.model, own.inputs).prune(**wish)
                rf, rp = report.rf, report.rp
                seconds = time.perf_counter() - start
            with GATE.together():
                start = time.perf_counter()
                if own.finetune is not None:
                    own.finetune(own.model)
                value = measured(own.evaluate, own.model)
                return Outcome(rf, rp, value, seconds + time.perf_counter() - start)
    except Exception as error:
        return Outcome(rf, rp, None, seconds, f"{type(error).__name__}: {error}")


def measured(evaluate: Evaluate, model: Any) -> float:
    """What ``evaluate`` says of a model, if that is a number."""
    value = float(evaluate(model))
    if not math.isfinite(value):
        raise SpaError(f"{called(evaluate, 'evaluate')} returned {value}, which is no number")
    return value


def called(thing: Any, otherwise: str = "value") -> str:
    """The name of a function or criterion, if it has one of its own."""
    if isinstance(thing, str):
        return thing
    name = getattr(thing, "__name__", None) or getattr(thing, "name", None)
    return name if isinstance(name, str) and name.isidentifier() else otherwise


def unheard(phase: str, done: int = 0, total: int | None = None) -> None:
    """Progress inside a point is not shown: the points are counted."""
