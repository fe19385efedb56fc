"""What all commands share: splitting the line, help, the trailing semicolon, errors."""

from __future__ import annotations

import functools
import re
import shlex
from argparse import Namespace
from collections.abc import Callable
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic_arguments import MagicArgumentParser

from spa_kernel.errors import SpaError
from spa_kernel.progress import shown

_LEFTOVER = re.compile(r"\$\w+|\{.*?\}|[{}]")


def command(method: Callable[..., Any]) -> Callable[..., Any]:
    """Make a magic of ``method(self, args)``, or of ``method(self, args, cell)``.

    Put it below the `argument` decorators. A trailing ``;`` keeps the result from being shown;
    IPython's own decorator for that reads the line as Python, which a line such as
    ``net layer1.0.conv2`` is not.
    """
    made: Any
    """The magic itself, which gets its parser from the decorators above."""

    @functools.wraps(method)
    def magic(self: Any, line: str, *cell: str) -> Any:
        line = line.strip()
        silent = line.endswith(";")
        words = _split(line.rstrip("; "), method.__name__)
        if "-h" in words or "--help" in words:
            print((magic.__doc__ or "").removeprefix("::").strip("\n"))
            return None
        args = _parse(made.parser, words, method.__name__)
        try:
            with shown():
                result = method(self, args, *cell)
        except SpaError as error:
            raise UsageError(str(error)) from None
        return None if silent else result

    made = magic
    return magic


def _split(line: str, name: str) -> list[str]:
    """Split at spaces outside of quotes; a backslash is just a character, as in file names."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars="")
    lexer.whitespace_split, lexer.escape, lexer.commenters = True, "", ""
    try:
        words = list(lexer)
    except ValueError:
        raise UsageError(f"%{name}: a quotation mark is not closed in: {line}") from None
    for word in words:
        if left := _LEFTOVER.search(word):
            raise UsageError(
                f"%{name}: {left[0]} was not replaced by a value. IPython fills in $name and "
                "{expression} only if every one of them in the line can be worked out; check the "
                "names, and keep dicts in a variable of their own."
            )
    return words


def _parse(parser: MagicArgumentParser, words: list[str], name: str) -> Namespace:
    try:
        args: Namespace = parser.parse_args(words)
    except UsageError as error:
        spaces = (
            ' An expression with spaces needs quotes: "f(a, b)".'
            if "unrecognized" in str(error)
            else ""
        )
        raise UsageError(f"%{name}: {error}.{spaces} See %{name} --help.") from None
    return args
