"""From what a person types to the model they mean, and to its session."""

from __future__ import annotations

import difflib
import keyword
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from IPython.core.error import UsageError

from spa_kernel.frontends import is_pair

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from spa_kernel.session import Session

_MODEL_CLASSES = {
    "torch.nn.modules.module.Module",
    "keras.src.models.model.Model",
    "flax.nnx.module.Module",
    "spa_kernel.frontends.jax.functions.Functional",
    "mxnet.gluon.block.Block",
    "ModelProto",
}
_NOTHING = object()


def is_model(value: Any) -> bool:
    """Whether a value looks like a model, or is a session; no framework is imported for this."""
    return (
        _is_session(value)
        or is_pair(value)
        or any(
            f"{cls.__module__}.{cls.__qualname__}" in _MODEL_CLASSES
            or cls.__name__ in _MODEL_CLASSES
            for cls in type(value).__mro__
        )
    )


class Names:
    """The models of a namespace, and the sessions they were analysed in.

    A session lives as long as something in the namespace leads to its model: a variable, a list
    or dict in a variable, or the dotted name it was last called by. After that only a weak
    reference is left, so that a model that was replaced is freed.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._sessions: WeakValueDictionary[int, Session] = WeakValueDictionary()
        self._models: WeakKeyDictionary[Session, Any] = WeakKeyDictionary()
        self._kept: dict[Session, str] = {}
        self.watchers: list[Callable[[], None]] = []
        """Called when there may be other sessions, or other names for them, than before."""

    def model(self, name: str) -> Any:
        """The object that a name such as ``net`` or ``trainer.backbone`` stands for.

        Raises
        ------
        UsageError
            It is not a name, or there is no such thing; says what there is instead.
        """
        if not all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split(".")):
            raise UsageError(
                f"{name!r} is not the name of a variable. "
                f"Give the model a name first, for example: net = {name}"
            )
        value = self._look_up(name)
        if value is _NOTHING:
            raise UsageError(f"there is no model named {name!r}. {self._hint(name)}")
        if not is_model(value):
            raise UsageError(
                f"{name!r} is not a model but of type {type(value).__name__}. {self._hint(name)}"
            )
        return value

    def session(self, name: str) -> Session | None:
        """The session of the model of that name, if it has been analysed."""
        value = self.model(name)
        found = self._session_of(value, self._made())
        if found is not None and found is not value:
            if found in self._models:
                self._kept[found] = name
            else:
                self.keep(name, found)
        return found

    def sessions(self) -> dict[str, Session]:
        """The sessions that commands find, each under one name; may be called on any thread."""
        found: dict[Session, str] = {}
        made = self._made()
        # Rather by the name of the model than by that of the session.
        for name, value in sorted(self.named_models(), key=lambda pair: _is_session(pair[1])):
            session = self._session_of(value, made)
            if session is not None:
                found.setdefault(session, name)
        return {name: session for session, name in found.items()}

    def keep(self, name: str, session: Session) -> None:
        """Remember the session of a model."""
        model = self.model(name)
        if _is_session(model):
            return
        if is_pair(model) and "." not in name:
            # A tuple stays as it is: the name now stands for what is pruned.
            model = self.shell.user_ns[name] = session.model
        self._sessions[id(model)] = session
        self._models[session] = model
        self._kept = {s: n for s, n in self._kept.items() if self._models[s] is not model}
        self._kept[session] = name
        self._tell()

    def let_go(self, *_: Any) -> None:
        """Stop keeping the sessions whose model nothing in the namespace leads to any more."""
        if self._kept:
            reachable = {id(value) for value in self._values()}
            self._kept = {
                session: name
                for session, name in self._kept.items()
                if id(self._models[session]) in reachable
                or self._look_up(name) is self._models[session]
            }
        self._tell()

    def models(self) -> list[str]:
        """The variables that hold a model or a session, and the attributes called before."""
        return [name for name, _ in self.named_models()]

    def named_models(self) -> list[tuple[str, Any]]:
        """The same with their values; may be called on any thread."""
        dotted = sorted({name for name in list(self._kept.values()) if "." in name})
        named = [*self._variables(), *((name, self._look_up(name)) for name in dotted)]
        return [(name, value) for name, value in named if is_model(value)]

    def variables(self) -> list[str]:
        """All variables that the user made."""
        return [name for name, _ in self._variables()]

    def _tell(self) -> None:
        for watcher in self.watchers:
            watcher()

    def _made(self) -> list[Session]:
        """The sessions that variables hold, as from session = spa.analyze(net, x)."""
        from spa_kernel.session import Session

        return list({id(v): v for v in self._values() if isinstance(v, Session)}.values())

    def _session_of(self, value: Any, made: list[Session]) -> Session | None:
        """The session that a value is, or that it was analysed in."""
        if _is_session(value):
            session: Session = value
            return session
        known = self._sessions.get(id(value))
        if known is not None and self._models.get(known) is value:
            return known
        of_it = [session for session in made if session.model is value]
        return of_it[0] if len(of_it) == 1 else None

    def _look_up(self, name: str) -> Any:
        first, *rest = name.split(".")
        value = self.shell.user_ns.get(first, _NOTHING)
        for part in rest:
            value = getattr(value, part, _NOTHING)
        return value

    def _variables(self) -> Iterator[tuple[str, Any]]:
        hidden = self.shell.user_ns_hidden
        for name, value in list(self.shell.user_ns.items()):
            if not name.startswith("_") and hidden.get(name, _NOTHING) is not value:
                yield name, value

    def _values(self) -> Iterator[Any]:
        for _, value in self._variables():
            yield value
            if isinstance(value, list | tuple):
                yield from value
            elif isinstance(value, dict):
                yield from list(value.values())

    def _hint(self, name: str) -> str:
        known = self.models()
        if not known:
            return "There is no model in this notebook yet: run the cell that makes it."
        near = difflib.get_close_matches(name, known, n=1)
        did = f"Did you mean {near[0]!r}? " if near else ""
        return f"{did}Models in this notebook: {', '.join(known)}."


def _is_session(value: Any) -> bool:
    from spa_kernel.session import Session

    return isinstance(value, Session)
