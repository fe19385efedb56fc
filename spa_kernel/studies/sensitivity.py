"""How much a model suffers where one group alone is pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spa_kernel import progress
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.importance import find
from spa_kernel.plan.choose import Choice, matching
from spa_kernel.studies.known import Known
from spa_kernel.studies.point import called, measured, unheard
from spa_kernel.views.rich import Rich

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spa_kernel.coupling.result import Group
    from spa_kernel.session import Session

SCORING = "data", "loss", "agg", "norm", "seed", "calibration"
"""Arguments that decide the scores; they are worked out once, whatever is pruned then."""


@dataclass(eq=False, repr=False)
class Sensitivity(Rich):
    """What `spa_kernel.sensitivity` found.

    Attributes
    ----------
    rows : list of dict
        A row per group and ratio: ``group`` (id), ``name``, ``ratio``, ``channels`` (before),
        ``left``, ``value`` (``None`` where there is none), ``error`` (why not, or ``""``) and
        ``together`` (ids of groups that a condition on counts ties to this one, and that lost
        channels as well).
    baseline : float or None
        The value of the model as it is.
    criterion, measure : str
        What decided the channels, and the name of the function that was asked.
    total : int
        How many rows there were to be.
    """

    rows: list[dict[str, Any]]
    baseline: float | None
    criterion: str
    measure: str
    total: int

    @property
    def complete(self) -> bool:
        """Whether nothing is missing, as it is after an interruption."""
        return len(self.rows) == self.total

    @property
    def table(self) -> dict[str, list[Any]]:
        """The rows as columns."""
        return {key: [row[key] for row in self.rows] for key in (self.rows or [{}])[0]}

    def ranking(self) -> list[str]:
        """Ids of the groups; those whose pruning changes the value most come first.

        What counts is the distance from the baseline, mean over the ratios, so that it does not
        matter whether a large value is good or bad.
        """
        lost: dict[str, list[float]] = {}
        for row in self.rows:
            own = lost.setdefault(row["group"], [])
            if row["value"] is not None and self.baseline is not None:
                own.append(abs(row["value"] - self.baseline))
        return sorted(lost, key=lambda group: -float(np.mean(lost[group] or [0.0])))

    def figure(self) -> Figure:
        """The value against the ratio, a line per group; a `matplotlib.figure.Figure`."""
        from spa_kernel.views.figures import sensitivity_figure

        return sensitivity_figure(self)

    def __repr__(self) -> str:
        state = "" if self.complete else ", interrupted"
        return f"Sensitivity({len(self.rows)} of {self.total} points{state})"


def sensitivity(
    session: Session,
    evaluate: Callable[[Any], float],
    criterion: Any = "l1",
    ratios: Iterable[float] = (0.1, 0.25, 0.5, 0.75, 0.9),
    groups: Choice = None,
    **settings: Any,
) -> Sensitivity:
    """Prune each group alone, evaluate, and take it back.

    The model is pruned in place, without a copy: afterwards, also after an error or an
    interruption, it is bit for bit what it was (tensors, gradients, mode), and the history is
    untouched. Scores are worked out once.

    Parameters
    ----------
    session : Session
    evaluate : callable
        ``evaluate(model) -> float``, an accuracy or a loss, say. It may use the model as it
        likes, but not change its structure.
    criterion : str or callable
        As for `Session.plan`.
    ratios : iterable of float
        Fractions of a group's channels that go, from 0 up to 1 (without it), rounded down.
    groups : str or list of str, optional
        Ids, names or globs; all prunable groups if not given.
    **settings
        As for `Session.plan`: ``data``, ``loss``, ``agg``, ``norm``, ``seed``, ``round_to``, ...

    Returns
    -------
    Sensitivity
        After an interruption it holds what was computed, and ``complete`` is ``False``.

    Raises
    ------
    InfeasibleTarget, DataNeeded, StaleSession
        Before anything is pruned. Where ``evaluate`` fails on the unpruned model, its own error;
        where it or a prune fails later, the row has the text of the error.
    """
    session.backend.check()
    wanted = chosen(session, groups)
    fractions = [checked(ratio) for ratio in ratios]
    with progress.shown():
        scoring = {name: settings.pop(name) for name in SCORING if name in settings}
        scores = session.importance(criterion, **scoring)
        known = Known(session.analysis.coupling, scores).criterion(find(criterion))
        if settings.get("reconstruct", known.reconstruct):
            # New weights are worked out from data at every point.
            kept = ("data", "calibration")
            settings |= {name: scoring[name] for name in kept if name in scoring}
        total = len(wanted) * len(fractions)
        found = Sensitivity([], None, called(criterion, "own"), called(evaluate), total)
        wishes = {"scope": "local", "max_ratio": 1.0, **settings, "norm": "none"}
        try:
            found.baseline = trial(session, evaluate, session.plan(known, ratio=0.0, **wishes))
            for group in wanted:
                for ratio in fractions:
                    progress.report("measuring", len(found.rows), total)
                    found.rows.append(row(session, evaluate, found, known, group, ratio, wishes))
        except KeyboardInterrupt:
            # The result says itself that something is missing.
            pass
    return found


def chosen(session: Session, groups: Choice) -> list[Group]:
    """The groups to prune."""
    every = session.groups
    if groups is None:
        found = [group for group in every if group.prunable]
        if not found:
            raise InfeasibleTarget("this model has no group that can be pruned")
        return found
    able: dict[str, Group] = {}
    for hits in matching(every, groups, "groups", members=False):
        some = {group.id: group for group in hits if group.prunable}
        if not some:
            raise InfeasibleTarget(
                f"groups: {hits[0].id} ({hits[0].name}) cannot go: {hits[0].reason}"
            )
        able |= some
    return list(able.values())


def checked(ratio: float) -> float:
    """A ratio, or an error where it cannot be meant."""
    if isinstance(ratio, bool) or not 0 <= ratio < 1:
        raise InfeasibleTarget(f"ratios: {ratio!r} is not a fraction from 0 up to 1, such as 0.5")
    return float(ratio)


def row(
    session: Session,
    evaluate: Callable[[Any], float],
    found: Sensitivity,
    known: Any,
    group: Group,
    ratio: float,
    wishes: dict[str, Any],
) -> dict[str, Any]:
    """Prune one group by one ratio."""
    value, error, left, together = None, "", group.size, []
    try:
        with progress.listening(unheard):
            plan = session.plan(known, ratio=ratio, groups=[group.id], **wishes)
            left = plan.widths[group.id][1]
            together = [other for other in plan.removed if other != group.id]
            value = trial(session, evaluate, plan) if plan.removed else found.baseline
    except Exception as refused:
        session.backend.check()
        error = f"{type(refused).__name__}: {refused}"
    return {
        "group": group.id,
        "name": group.name,
        "ratio": ratio,
        "channels": group.size,
        "left": left,
        "value": value,
        "error": error,
        "together": together,
    }


def trial(session: Session, evaluate: Callable[[Any], float], plan: Any) -> float:
    """What the model is worth after a prune, which is taken back."""
    backend, coupling = session.backend, session.analysis.coupling
    with session.turn.taken(session):
        change, _ = backend.apply(coupling, plan.mask(coupling), verify=False)
        try:
            with backend.lent():
                return measured(evaluate, session.model)
        finally:
            change.undo()
