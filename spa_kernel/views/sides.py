"""Sides of a session that one can look at, each with a static and, mostly, a live view."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from spa_kernel.views.blocks import Block, Line, Title
from spa_kernel.views.rich import Rich, describe
from spa_kernel.views.session_view import (
    frozen_blocks,
    group_blocks,
    history_blocks,
    session_blocks,
)

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Measurement, Session


@dataclass(frozen=True)
class Graph(Rich):
    """The groups as boxes, with the flow of data between them."""

    session: Session


@dataclass(frozen=True)
class Groups(Rich):
    """The groups as a table."""

    session: Session


@dataclass(frozen=True)
class Importance(Rich):
    """What a criterion says of every channel.

    Attributes
    ----------
    session : Session
    criterion : str
    scores : mapping of str to numpy.ndarray
        By group id, as `spa_kernel.session.Session.importance` returns them.
    settings : dict
        How they were worked out: other arguments of that method.
    plan : Plan or None
        Mark what it takes away.
    other : tuple of str and mapping, or None
        Another criterion and its scores, to compare with.
    """

    session: Session
    criterion: str
    scores: Mapping[str, np.ndarray]
    settings: dict[str, Any] = field(default_factory=dict)
    plan: Plan | None = None
    other: tuple[str, Mapping[str, np.ndarray]] | None = None


@dataclass(frozen=True)
class Cost(Rich):
    """The model at the start of its history beside the model as it is now."""

    session: Session
    measurement: Measurement | None = None


@dataclass(frozen=True)
class Steps(Rich):
    """The history, to jump about in."""

    session: Session


@dataclass(frozen=True)
class Explorer(Rich):
    """A place to try out and carry out prunes; live views only."""

    session: Session
    criterion: str = "l1"
    data: Any = None
    loss: Any = None
    expressions: dict[str, str] = field(default_factory=dict)


@describe.register
def _(graph: Graph) -> list[Block]:
    from spa_kernel.views.overview import overview_blocks

    return overview_blocks(graph.session)


@describe.register
def _(groups: Groups) -> list[Block]:
    session = groups.session
    return [
        Title(f"Groups of {session.name}"),
        *group_blocks(session.groups),
        *frozen_blocks(session),
    ]


@describe.register
def _(importance: Importance) -> list[Block]:
    from spa_kernel.views.heat import agreement_blocks, heat_blocks

    session, name, scores = importance.session, importance.criterion, importance.scores
    blocks = heat_blocks(session, scores, importance.plan, name)
    if importance.other is not None:
        other, theirs = importance.other
        blocks += agreement_blocks(session, {name: scores, other: theirs})
    return blocks


@describe.register
def _(steps: Steps) -> list[Block]:
    return history_blocks(steps.session.history)


@describe.register
def _(cost: Cost) -> list[Block]:
    from spa_kernel.views.compare import comparison_blocks

    return comparison_blocks(cost.session, cost.measurement)


@describe.register
def _(explorer: Explorer) -> list[Block]:
    return [
        *session_blocks(explorer.session),
        Line("The explorer itself needs a notebook with widgets, and a kernel behind it."),
    ]
