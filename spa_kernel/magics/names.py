"""From what a person types to the model they mean, and to its session."""

from __future__ import annotations

import difflib
import keyword
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from IPython.core.error import UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from spa_kernel.session import Session

_MODEL_CLASSES = {
    "torch.nn.modules.module.Module",
    "keras.src.models.model.Model",
    "flax.nnx.module.Module",
    "mxnet.gluon.block.Block",
    "ModelProto",
}
_NOTHING = object()


def is_model(value: Any) -> bool:
    """Whether a value looks like a model, or is a session; no framework is imported for this."""
    return _is_session(value) or any(
        f"{cls.__module__}.{cls.__qualname__}" in _MODEL_CLASSES or cls.__name__ in _MODEL_CLASSES
        for cls in type(value).__mro__
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
        if _is_session(value):
            return value
        session = self._sessions.get(id(value))
        if session is None or self._models[session] is not value:
            # It may have been analysed without a command: session = spa.analyze(net, x).
            made = {id(v): v for v in self._values() if _is_session(v) and v.model is value}
            if len(made) != 1:
                return None
            (session,) = made.values()
            self.keep(name, session)
        self._kept[session] = name
        return session

    def keep(self, name: str, session: Session) -> None:
        """Remember the session of a model."""
        model = self.model(name)
        if _is_session(model):
            return
        self._sessions[id(model)] = session
        self._models[session] = model
        self._kept = {s: n for s, n in self._kept.items() if self._models[s] is not model}
        self._kept[session] = name

    def let_go(self, *_: Any) -> None:
        """Stop keeping the sessions whose model nothing in the namespace leads to any more."""
        if not self._kept:
            return
        reachable = {id(value) for value in self._values()}
        self._kept = {
            session: name
            for session, name in self._kept.items()
            if id(self._models[session]) in reachable
            or self._look_up(name) is self._models[session]
        }

    def models(self) -> list[str]:
        """The variables that hold a model or a session, and the attributes called before."""
        found = [name for name, value in self._variables() if is_model(value)]
        return found + sorted({n for n in self._kept.values() if "." in n})

    def variables(self) -> list[str]:
        """All variables that the user made."""
        return [name for name, _ in self._variables()]

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
                yield from value.values()

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
