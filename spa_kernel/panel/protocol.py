"""Messages of the panel: what the page sends is checked, as nobody knows who wrote it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from jsonschema import Draft202012Validator, TypeChecker
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.protocols import Validator
from jsonschema.validators import extend

from spa_kernel import __version__

Message = dict[str, Any]

SCHEMA: Message = json.loads(
    files("spa_kernel.panel").joinpath("protocol.schema.json").read_text("utf-8")
)
VERSION: int = SCHEMA["$defs"]["Welcome"]["properties"]["version"]["const"]
MOST = 200
"""Characters of a reason that come from the message itself."""


class Refusal(Exception):
    """A question that is not answered, and what the person is told.

    Parameters
    ----------
    code : str
        One of the schema's.
    reason : str
    more : str or int
        Other properties of the answer.
    """

    def __init__(self, code: str, reason: str, **more: str | int) -> None:
        super().__init__(reason)
        self.code, self.more = code, more

    def answer(self, number: int | None) -> Message:
        """As a message."""
        return {"type": "error", "id": number, "code": self.code, "reason": str(self), **self.more}


def check(content: Any) -> Message:
    """A message of the page, if it is one.

    Raises
    ------
    Refusal
        Code ``invalid``, or ``version`` for a page of another version.
    """
    kind = content.get("type") if isinstance(content, Mapping) else None
    validator = validators("Question").get(kind) if isinstance(kind, str) else None
    if validator is None:
        raise Refusal("invalid", f"this is no question: its type is {shortened(repr(kind))}")
    error: ValidationError | None = best_match(validator.iter_errors(content))
    if error is not None:
        place = ".".join(str(part) for part in error.absolute_path) or "the message"
        rule = f"{error.validator} {error.validator_value}"
        raise Refusal("invalid", f"{kind}: {shortened(place)} breaks the rule {shortened(rule)}")
    question: Message = content
    if kind == "hello" and question["version"] != VERSION:
        raise mismatch(question["version"])
    return question


def number(content: Any) -> int | None:
    """The id of a message that may be none."""
    found = content.get("id") if isinstance(content, Mapping) else None
    return found if isinstance(found, int) and validators()["Id"].is_valid(found) else None


def mismatch(version: int) -> Refusal:
    """What to do about a page of another version."""
    if version > VERSION:
        older, cure = (
            f"the spa_kernel in this kernel ({__version__})",
            "Upgrade it in the kernel's environment, pip install --upgrade spa_kernel, and "
            "restart the kernel.",
        )
    else:
        older, cure = (
            "the panel",
            "Upgrade spa_kernel in the environment that JupyterLab runs in, and reload the page.",
        )
    reason = (
        f"The panel and the spa_kernel in this kernel do not understand each other: "
        f"the panel speaks version {version}, the kernel version {VERSION}. "
        f"The older one is {older}. {cure}"
    )
    return Refusal("version", reason, version=VERSION)


@cache
def validators(union: str | None = None) -> dict[str, Validator]:
    """Of all definitions by name, or of the members of a union by their type."""
    definitions = SCHEMA["$defs"]
    if union is None:
        return {name: checker({"$ref": f"#/$defs/{name}"}) for name in definitions}
    names = [entry["$ref"].rpartition("/")[2] for entry in definitions[union]["oneOf"]]
    return {definitions[name]["properties"]["type"]["const"]: validators()[name] for name in names}


def checker(schema: Message) -> Validator:
    """A validator of a part of the protocol; numbers are finite, and 1.0 is no integer."""
    return _Strict({**schema, "$defs": SCHEMA["$defs"]})


def shortened(text: str) -> str:
    """At most so much as fits on a line or two."""
    return text if len(text) <= MOST else text[:MOST] + " …"


def _finite(_: TypeChecker, value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return isinstance(value, int) or math.isfinite(value)


def _whole(_: TypeChecker, value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


_Strict = extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"number": _finite, "integer": _whole}
    ),
)
