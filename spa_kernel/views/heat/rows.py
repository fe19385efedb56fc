"""Scores of a session's groups, and what a plan takes of them, as plain rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from spa_kernel.errors import InfeasibleTarget
from spa_kernel.views.units import count

if TYPE_CHECKING:
    from spa_kernel.coupling.result import Coupling, Group
    from spa_kernel.plan import Plan
    from spa_kernel.session import Session

NAMED = 6
"""Groups that are named in a sentence."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """The channels of one group.

    Attributes
    ----------
    group, name : str
    size : int
        Number of coupled channels.
    blocks : int
        Into how many blocks (heads) they fall that lose equally many.
    scores : numpy.ndarray
        float64 (size,), in channel order.
    order : numpy.ndarray
        int64 (size,): the channels with the lowest scores first. Where there are blocks, first
        the lowest of each block, then the second lowest of each, and so on, for this is how they
        go.
    gone : numpy.ndarray or None
        bool (size,): what the plan removes, where there is a plan.
    """

    group: str
    name: str
    size: int
    blocks: int
    scores: np.ndarray
    order: np.ndarray
    gone: np.ndarray | None = None

    @property
    def going(self) -> int:
        """How many channels the plan removes."""
        return 0 if self.gone is None else int(self.gone.sum())

    @property
    def cut(self) -> int | None:
        """Where in ``order`` the plan cuts; ``None`` where it does not take the lowest scores."""
        if self.gone is None:
            return None
        going, ordered = self.going, self.gone[self.order]
        if ordered[:going].all():
            return going
        # Which of several equal scores goes is no difference.
        lowest = self.scores[self.order[:going]]
        same = self.blocks == 1 and np.array_equal(np.sort(self.scores[self.gone]), np.sort(lowest))
        return going if same else None


@dataclass(frozen=True, slots=True, eq=False)
class Heat:
    """What a heatmap shows.

    Attributes
    ----------
    criterion : str
    rows : list of Row
        Groups that have scores and can lose channels.
    notes : list of str
        Which groups are left out, and why.
    planned : bool
        Whether there is a plan.
    """

    criterion: str
    rows: list[Row]
    notes: list[str]
    planned: bool = False


def heat(
    session: Session,
    scores: Mapping[str, np.ndarray],
    plan: Plan | None = None,
    criterion: str = "",
) -> Heat:
    """What there is to show of some scores.

    Parameters
    ----------
    session : Session
    scores : mapping of str to numpy.ndarray
        As `Session.importance` returns them.
    plan : Plan, optional
        Of the session as it is.
    criterion : str
        What the scores are called.

    Raises
    ------
    InfeasibleTarget
        The plan or the scores are not those of the model as it is.
    """
    coupling = session.analysis.coupling
    gone = {} if plan is None else removed(session.groups, plan)
    rows, frozen, without = [], [], []
    for group in session.groups:
        if not group.prunable:
            frozen.append(group.id)
        elif group.id not in scores:
            without.append(group.id)
        else:
            rows.append(row(coupling, group, scores[group.id], gone.get(group.id)))
    notes = []
    if without:
        by = f" of {criterion}" if criterion else ""
        what = count(len(without), "group without scores", "groups without scores")
        notes.append(f"{what}{by}, so nothing of it goes: {some(without)}.")
    if frozen:
        notes.append(f"{count(len(frozen), 'group')} cannot lose channels: {some(frozen)}.")
    return Heat(criterion, rows, notes, plan is not None)


def row(coupling: Coupling, group: Group, scores: np.ndarray, gone: np.ndarray | None) -> Row:
    """One group."""
    if scores.shape != (group.size,):
        raise InfeasibleTarget(
            f"these scores are not of the model as it is: {len(scores):,} for {group.id}, which "
            f"has {count(group.size, 'channel')}. Score it anew"
        )
    scores = np.asarray(scores, dtype=np.float64)
    order = np.argsort(scores, kind="stable")
    if group.blocks > 1 and coupling.source is not None:
        block = earlier(coupling.source[group.labels])
        # Stable sorts: in every block by score.
        by_block = order[np.argsort(block[order], kind="stable")]
        rank = np.empty(group.size, dtype=np.int64)
        rank[by_block] = earlier(block[by_block])
        order = np.lexsort((scores, rank))
    return Row(group.id, group.name, group.size, group.blocks, scores, order, gone)


def earlier(values: np.ndarray) -> np.ndarray:
    """For each entry, how many equal ones stand before it."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=ordered[:1] - 1))
    lengths = np.diff(starts, append=len(ordered))
    found = np.empty(len(values), dtype=np.int64)
    found[order] = np.arange(len(values)) - np.repeat(starts, lengths)
    return found


def removed(groups: Sequence[Group], plan: Plan) -> dict[str, np.ndarray]:
    """Bool masks over the channels of each group."""
    sizes = {group.id: group.size for group in groups}
    if sizes != {id_: before for id_, (before, _) in plan.widths.items()}:
        raise InfeasibleTarget(
            "the plan is not one for the model as it is. Was the model pruned in between? Make a "
            "new plan"
        )
    masks = {id_: np.zeros(size, dtype=bool) for id_, size in sizes.items()}
    for id_, indices in plan.removed.items():
        masks[id_][indices] = True
    return masks


def some(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")
