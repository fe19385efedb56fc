"""Tab completion of the commands: options, models, layers, groups, criteria."""

from __future__ import annotations

import re
from argparse import Action
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from IPython.core.completer import (
    CompletionContext,
    SimpleCompletion,
    SimpleMatcherResult,
    context_matcher,
)
from IPython.core.error import UsageError

import spa_kernel as spa
from spa_kernel.importance import STATISTICS

if TYPE_CHECKING:
    from spa_kernel.magics.commands import SPAMagics

_LINE = re.compile(r"^\s*(?:[\w\s.,\[\]'\"]+=\s*)?%{0,2}(?P<command>spa_\w+)\s+(?P<rest>.*)$")

LISTS = "--groups", "--exclude", "--ratio", "--max-ratio", "--needs"
"""Options whose value may be several words with commas between them."""


class Completion:
    """Completes the commands of one `SPAMagics`."""

    def __init__(self, magics: SPAMagics) -> None:
        self._magics = magics

    @context_matcher()
    def matcher(self, context: CompletionContext) -> SimpleMatcherResult:
        """What IPython asks; says nothing about lines that are not ours."""
        line = _LINE.match(context.text_until_cursor)
        magic = self._magic(line["command"]) if line else None
        if line is None or magic is None:
            return {"completions": [], "suppress": False}
        *words, last = re.split(r"\s+", line["rest"])
        last = last.rpartition(",")[2] if _takes_list(words) else last
        found = [word for word in self._words(magic, words, last) if word.startswith(last)]
        return {
            "completions": [SimpleCompletion(text=word, type="spa_kernel") for word in found],
            "matched_fragment": last,
            "suppress": bool(found),
            "ordered": True,
        }

    def _magic(self, name: str) -> Any:
        return next((of[name] for of in self._magics.magics.values() if name in of), None)

    def _words(self, magic: Any, words: list[str], last: str) -> Iterable[str]:
        """Everything that may stand at the cursor."""
        options, positions = _arguments(magic)
        if words and (action := options.get(words[-1])) is not None and action.nargs != 0:
            return self._values(action, words)
        if last.startswith("-"):
            return [name for name in options if name.startswith("--") and name not in words]
        place = _position(options, words)
        return self._values(positions[place], words) if place < len(positions) else []

    def _values(self, action: Action, words: list[str]) -> Iterable[str]:
        if action.choices is not None:
            return [str(choice) for choice in action.choices]
        match action.dest:
            case "model":
                return self._magics.names.models()
            case "criterion":
                return spa.criteria()
            case "groups":
                return [group.id for group in self._groups(words) if group.prunable]
            case "ratio" | "max_ratio":
                return [f"{group.id}=" for group in self._groups(words) if group.prunable]
            case "needs":
                return STATISTICS
            case "layer" | "exclude":
                members = (member for group in self._groups(words) for member, _ in group.members)
                return sorted({name.rpartition(".")[0] or name for name in members})
            case "input" | "data" | "loss" | "optimizer":
                return self._magics.names.variables()
            case _:
                return []

    def _groups(self, words: list[str]) -> Iterable[Any]:
        """The groups of the model named in the line, if it has been analysed."""
        try:
            session = self._magics.names.session(words[0])
        except UsageError:
            return []
        return session.groups if session is not None else []


def _arguments(magic: Any) -> tuple[dict[str, Action], list[Action]]:
    actions = magic.parser._actions
    options = {name: action for action in actions for name in action.option_strings}
    return options, [action for action in actions if not action.option_strings]


def _position(options: dict[str, Action], words: list[str]) -> int:
    """How many arguments that are not options stand in front."""
    number, value = 0, False
    for word in words:
        if value:
            value = False
        elif word.startswith("-"):
            action = options.get(word)
            value = action is not None and action.nargs != 0
        else:
            number += 1
    return number


def _takes_list(words: list[str]) -> bool:
    return bool(words) and words[-1] in LISTS
