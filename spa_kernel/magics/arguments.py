"""From the text of an argument to its value."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def shape(text: str) -> tuple[int, ...]:
    """``1,3,224,224`` or ``1x3x224x224``."""
    try:
        sizes = tuple(int(part) for part in text.strip("()[]").replace("x", ",").split(",") if part)
    except ValueError:
        sizes = ()
    if not sizes or min(sizes) < 1:
        raise ArgumentTypeError(f"{text!r} is not a shape; write it without spaces: 1,3,224,224")
    return sizes


def positive(text: str) -> int:
    """A whole number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def fraction(text: str) -> float:
    """A number between 0 and 1; ``30%`` is understood."""
    number = _number(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    if not 0 < number < 1:
        raise ArgumentTypeError(f"{text!r} is not between 0 and 1; 0.3 removes 30 %")
    return number


def fractions(text: str) -> float | dict[str, float]:
    """One fraction, or some by the name of a group: ``g3=0.3,layer2*=0.5``."""
    if "=" not in text:
        return fraction(text)
    pairs = [part.rpartition("=") for part in words(text)]
    if not all(name and number for name, _, number in pairs):
        raise ArgumentTypeError(f"{text!r} is not clear; write it without spaces: g3=0.3,g7=0.5")
    return {name: fraction(number) for name, _, number in pairs}


def factor(text: str) -> float:
    """A number above 1; ``2x`` is understood."""
    number = _number(text.removesuffix("x"))
    if not number > 1:
        raise ArgumentTypeError(f"{text!r} is not above 1; 2 means half of what it was")
    return number


def weight(text: str) -> float:
    """A number from 0 on."""
    number = _number(text)
    if not number >= 0:
        raise ArgumentTypeError(f"{text!r} is below 0")
    return number


def words(text: str) -> list[str]:
    """Words with commas between them."""
    return [word for word in text.split(",") if word]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a number") from None


def file(text: str) -> Path:
    """A path that can be written to."""
    path = Path(text).expanduser()
    if path.is_dir() or not path.parent.is_dir():
        problem = "is a folder" if path.is_dir() else "lies in a folder that does not exist"
        raise UsageError(f"{text} {problem}: give the name of a file to write, such as small.onnx")
    return path


def value(shell: InteractiveShell, expression: str, option: str) -> Any:
    """What an expression of the user is worth in the notebook.

    Raises
    ------
    UsageError
        It cannot be worked out; the message is that of the error behind it.
    """
    try:
        return shell.ev(expression)
    except Exception as error:
        raise UsageError(
            f"{option}: cannot work out {expression!r} ({type(error).__name__}: {error})"
        ) from None


def given(shell: InteractiveShell, args: Namespace, *options: str) -> dict[str, Any]:
    """The values of those of the expression options that were given."""
    return {
        name: value(shell, text, f"--{name}")
        for name in options
        if (text := getattr(args, name)) is not None
    }


def plain(args: Namespace, *options: str) -> dict[str, Any]:
    """Those of the options that were given, as they are."""
    return {name: getattr(args, name) for name in options if getattr(args, name) is not None}
