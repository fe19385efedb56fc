"""What the panels know of all sessions, and when they are told."""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from spa_kernel import progress
from spa_kernel.errors import SpaError
from spa_kernel.panel.progress import Progress
from spa_kernel.panel.protocol import Message, Refusal
from spa_kernel.panel.snapshot import criteria_columns, model_of, sparks
from spa_kernel.session import turns
from spa_kernel.session.preview import Preview

if TYPE_CHECKING:
    from spa_kernel.magics.commands import SPAMagics
    from spa_kernel.session import Session

WAIT = 1.0
"""Seconds to wait for somebody else who looks."""
_revisions = itertools.count(1)


class Known:
    """What was last seen of a session.

    Attributes
    ----------
    shown : dict
        A ``Model`` of the schema, but for its name; replaced as a whole, never changed.
    preview : Preview
        Its dry runs.
    """

    def __init__(self, session: Session) -> None:
        self.shown: Message = {}
        self.preview = Preview(session)
        self._seen: Any = None

    def see(self, session: Session) -> None:
        """Look at the session; sparks are gone where anything is new."""
        content: Message = model_of(session)
        seen: tuple[Message, Hashable] = content, session.backend.writes()
        if seen != self._seen:
            self._seen = seen
            self.shown = {"revision": next(_revisions), **content}

    def draw(self, session: Session, criterion: str) -> None:
        """Add sparks.

        Raises
        ------
        SpaError
        """
        scores = self.preview.scores(criterion=criterion)
        groups = self._seen[0]["groups"]
        drawn = {**groups, "spark": sparks(session.groups, scores), "criterion": criterion}
        self.shown = {**self.shown, "groups": drawn}


class Hub:
    """The sessions of a notebook, and the panels that show them; safe on any thread.

    Sessions are looked at only in their turn (`spa_kernel.session.turns`); while something is done
    to one, what was last seen of it stands for it. None is kept alive.
    """

    def __init__(self, magics: SPAMagics) -> None:
        self.magics = magics
        self.panels: dict[str, Callable[[Message], None]] = {}
        self.progress = Progress(self.push)
        self.known: WeakKeyDictionary[Session, Known] = WeakKeyDictionary()
        self._revision = 0
        self._shown: Any = None
        # Messages leave in the order of their revisions.
        self._order = threading.RLock()

    def open(self) -> None:
        """Listen from now on."""
        turns.watchers.append(self._told)
        progress.watchers.append(self.progress)
        self.magics.names.watchers.append(self._settled)

    def close(self) -> None:
        """Listen no more."""
        turns.watchers.remove(self._told)
        progress.watchers.remove(self.progress)
        self.magics.names.watchers.remove(self._settled)

    def join(self, name: str, send: Callable[[Message], None]) -> None:
        """Show a panel what there is, and tell it from now on what is new."""
        with self._order:
            message = self.refresh()
            self.panels[name] = send
            send(message)

    def push(self, message: Message) -> None:
        """Send a message to all panels; one that cannot be reached is forgotten."""
        for name, send in list(self.panels.items()):
            try:
                send(message)
            except Exception:
                logging.getLogger(__name__).exception("a panel cannot be reached")
                self.panels.pop(name, None)

    def snapshot(self, number: int | None = None) -> Message:
        """All sessions, as they are or as they were last seen."""
        with self._order:
            return {**self.refresh(), "id": number}

    def refresh(self) -> Message:
        """Look at all sessions, and tell the panels if anything is new."""
        with self._order:
            sessions, models, busy = self.magics.names.sessions(), [], False
            for name, session in sessions.items():
                with session.turn.free() as free:
                    if free:
                        self.see(session)
                busy |= session.turn.busy
                known = self.known.get(session)
                if known is not None:
                    models.append({"name": name, **known.shown})
            criteria = criteria_columns()
            shown = [(model["name"], model["revision"]) for model in models], busy, criteria
            new = shown != self._shown
            self._shown, self._revision = shown, self._revision + new
            message = {
                "type": "snapshot", "id": None, "revision": self._revision, "busy": busy,
                "models": models, "criteria": criteria,
            }  # fmt: skip
            if new:
                self.push(message)
            return message

    def session(self, name: str) -> Session:
        """A session by the name that it has in snapshots.

        Raises
        ------
        Refusal
        """
        session = self.magics.names.sessions().get(name)
        if session is None:
            raise Refusal("unknown", f"There is no analysed model named {name} in this notebook.")
        return session

    def see(self, session: Session) -> Known:
        """Look at a session; the caller has its turn."""
        known = self.known.get(session) or Known(session)
        known.see(session)
        self.known[session] = known
        return known

    def draw(self, criterion: str) -> None:
        """Work sparks out, of the sessions that nothing is being done to."""
        for session in self.magics.names.sessions().values():
            with session.turn.free(WAIT) as free, progress.listening(nobody):
                if free:
                    try:
                        self.see(session).draw(session, criterion)
                    except SpaError:
                        # Changed from outside, say; the commands tell more of that.
                        logging.getLogger(__name__).info("no sparks", exc_info=True)

    def _settled(self) -> None:
        """A cell ran, or a model was named: there may be other sessions and other weights."""
        try:
            self.progress.end()
            if self.panels:
                self.refresh()
        except Exception:
            logging.getLogger(__name__).exception("the panels are not told")

    def _told(self, what: turns.What, session: Session) -> None:
        if not self.panels:
            return
        if what == "started":
            names = {id(found): name for name, found in self.magics.names.sessions().items()}
            self.progress.begin(names.get(id(session), session.name))
            return
        if what == "ended":
            self.progress.end()
        self.refresh()


def nobody(phase: str, done: int, total: int | None) -> None:
    """Hears of progress, so that looking at a model shows no bar in the notebook."""
