"""The steps that a session has taken, and where among them the model stands."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import overload

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.frontends.backend import Change
from spa_kernel.interrupts import uninterrupted
from spa_kernel.plan import Plan
from spa_kernel.session.analysis import Analysis
from spa_kernel.views.rich import Rich


@dataclass(eq=False, slots=True)
class Step:
    """One state of the model: the start, or what a prune made of it.

    Attributes
    ----------
    index : int
        0 for the start.
    label : str
        What was done, in words.
    flops, params : int
        Cost of the model in this state.
    seconds : float
        How long the prune took.
    current : bool
        Whether the model is in this state now.
    values : dict of str to float
        What was measured of the model in this state, see `History.record`.
    """

    index: int
    label: str
    analysis: Analysis
    seconds: float = 0.0
    plan: Plan | None = None
    change: Change | None = None
    current: bool = False
    values: dict[str, float] = field(default_factory=dict)

    @property
    def flops(self) -> int:
        return self.analysis.cost.base[0]

    @property
    def params(self) -> int:
        return self.analysis.cost.base[1]

    def __repr__(self) -> str:
        mark = "*" if self.current else " "
        return f"{mark}{self.index} {self.label}: {self.flops:,} FLOPs, {self.params:,} parameters"


class History(Rich, Sequence[Step]):
    """A sequence of steps with a position in it.

    Parameters
    ----------
    start : Analysis
        Of the model before any prune.
    check : callable
        Raises `StaleSession` where the model was changed from outside; called before it is moved
        to another step.
    """

    def __init__(self, start: Analysis, check: Callable[[], None]) -> None:
        self._check_model = check
        self._steps = [Step(0, "start", start, current=True)]
        self._position = 0

    @property
    def position(self) -> int:
        """Index of the step that the model is in."""
        return self._position

    @property
    def current(self) -> Step:
        return self._steps[self._position]

    @property
    def nbytes(self) -> int:
        """Memory held for undo and redo, in bytes."""
        return sum(step.change.nbytes for step in self._steps if step.change is not None)

    def add(
        self, label: str, analysis: Analysis, plan: Plan, change: Change, seconds: float
    ) -> None:
        """Put a step behind the current one; steps that were undone are lost."""
        index = self._position + 1
        step = Step(index, label, analysis, seconds, plan, change, current=True)
        # Nothing below can fail half way.
        self.current.current = False
        self._steps[index:] = [step]
        self._position = index

    def record(self, **values: float) -> None:
        """Keep what was measured of the model as it is now, to be shown beside the step.

        A name that was recorded before gets the new value.

        Examples
        --------
        >>> session.history.record(top1=0.842)  # doctest: +SKIP

        Raises
        ------
        InfeasibleTarget
            A value is not a finite number.
        """
        found = {}
        for name, value in values.items():
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                found[name] = math.nan
            if not math.isfinite(found[name]):
                raise InfeasibleTarget(
                    f"{name}={value!r} cannot be recorded: use a number, such as {name}=0.842"
                )
        self.current.values.update(found)

    def undo(self, steps: int) -> None:
        """Take back some steps.

        Raises
        ------
        InfeasibleTarget
            There are not that many.
        StaleSession
        """
        self._check_model()
        self._check(steps, self._position, "undo")
        for _ in range(steps):
            change = self.current.change
            assert change is not None
            with uninterrupted():
                change.undo()
                self._stand(self._position - 1)

    def redo(self, steps: int) -> None:
        """Do some undone steps again.

        Raises
        ------
        InfeasibleTarget
            There are not that many.
        StaleSession
        """
        self._check_model()
        self._check(steps, len(self._steps) - 1 - self._position, "redo")
        for _ in range(steps):
            change = self._steps[self._position + 1].change
            assert change is not None
            with uninterrupted():
                change.redo()
                self._stand(self._position + 1)

    @contextmanager
    def rewound(self) -> Iterator[None]:
        """The model as it was at the start; it is brought back in any case."""
        position = self._position
        try:
            if position:
                self.undo(position)
            yield
        finally:
            if self._position < position:
                self.redo(position - self._position)

    def rewind(self, steps: Sequence[Step], position: int) -> None:
        """Take back what came after a position, as if it had never been.

        Parameters
        ----------
        steps : sequence of Step
            All steps that there were then, undone ones included.
        position : int
        """
        if self._position > position:
            self.undo(self._position - position)
        self._steps = list(steps)

    @property
    def undone(self) -> int:
        """How many steps could be done again."""
        return len(self._steps) - 1 - self._position

    def _check(self, steps: int, available: int, verb: str) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise InfeasibleTarget(f"cannot {verb} {steps!r} steps: give a whole number from 1")
        if steps > available:
            there = f"only {available} step{'s' * (available != 1)}" if available else "nothing"
            raise InfeasibleTarget(f"cannot {verb} {steps}: there is {there} to {verb}")

    def _stand(self, position: int) -> None:
        self.current.current = False
        self._position = position
        self.current.current = True

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> list[Step]: ...
    def __getitem__(self, index: int | slice) -> Step | list[Step]:
        return self._steps[index]

    def __len__(self) -> int:
        return len(self._steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self._steps)

    def __repr__(self) -> str:
        return "\n".join(map(repr, self._steps))
