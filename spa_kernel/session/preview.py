"""Dry runs one after the other, as a person moves a slider: scores are worked out once."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from spa_kernel.errors import SpaError
from spa_kernel.plan import Plan

if TYPE_CHECKING:
    from spa_kernel.session.analysis import Analysis
    from spa_kernel.session.session import Session

SCORING = "criterion", "data", "loss", "agg", "norm", "seed", "calibration"
"""What scores depend on."""


class Preview:
    """Plans for a session; scores are kept as long as the model stays as it is.

    The session is held weakly, so that whoever shows it does not keep the model alive.
    """

    def __init__(self, session: Session) -> None:
        self._session = ref(session)
        self._analysis: ref[Analysis] | None = None
        self._writes: Hashable = None
        # With what they were worked out from, so that no other object gets its id.
        self._scores: dict[tuple[Any, ...], tuple[Any, dict[str, np.ndarray]]] = {}

    @property
    def session(self) -> Session:
        """The session.

        Raises
        ------
        SpaError
            Nothing in the notebook leads to it any more.
        """
        session = self._session()
        if session is None:
            raise SpaError("the model is gone: analyse it again, and show it again")
        return session

    def scores(self, **settings: Any) -> dict[str, np.ndarray]:
        """As `Session.importance`, of whose arguments those of `Session.plan` are taken.

        Raises
        ------
        InfeasibleTarget, DataNeeded
        """
        session = self.session
        writes, seen = session.backend.writes(), self._analysis and self._analysis()
        if seen is not session.analysis or writes != self._writes:
            self._scores.clear()
            self._analysis, self._writes = ref(session.analysis), writes
        given = {name: settings[name] for name in SCORING if settings.get(name) is not None}
        key = tuple((name, value if _plain(value) else id(value)) for name, value in given.items())
        if key not in self._scores:
            self._scores[key] = given, session.importance(**given)
        return self._scores[key][1]

    def plan(self, **settings: Any) -> Plan:
        """As `Session.plan`.

        Raises
        ------
        InfeasibleTarget, DataNeeded, StaleSession
        """
        return self.session.plan(**settings, scores=self.scores(**settings))


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float)
