"""Which groups a person means: ids, names, modules, globs."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatchcase

from spa_kernel.coupling.result import Group
from spa_kernel.errors import InfeasibleTarget

Choice = str | Group | Iterable[str | Group] | None


def patterns(choice: Choice) -> list[str]:
    """A choice as a list of patterns; a `Group` stands for its id."""
    if choice is None:
        return []
    if isinstance(choice, str | Group):
        choice = [choice]
    return [item.id if isinstance(item, Group) else str(item) for item in choice]


def ancestors(name: str) -> list[str]:
    """A dotted or slashed name, and the modules that it stands in."""
    separators = [i for i, letter in enumerate(name) if letter in "./" and i]
    return [name, *(name[:i] for i in separators)]


def group_names(group: Group) -> set[str]:
    """What a group may be called by: id, name, modules around its name."""
    return {group.id, *ancestors(group.name)}


def member_names(group: Group) -> set[str]:
    """Everything that touches a group: as `group_names`, and its parameters and their modules."""
    return group_names(group).union(*(ancestors(name) for name, _ in group.members))


def matching(groups: list[Group], choice: Choice, what: str, *, members: bool) -> list[list[Group]]:
    """The groups that a person named, for each name or glob.

    Parameters
    ----------
    groups : list of Group
    choice : str, Group, or iterable of these, or None
        Ids, names or shell-style globs.
    what : str
        The argument's name, for the error.
    members : bool
        Whether names of parameters and modules count too.

    Raises
    ------
    InfeasibleTarget
        A pattern matches nothing; the message lists the nearest names.
    """
    names = [member_names(g) if members else group_names(g) for g in groups]
    chosen: list[list[Group]] = []
    for pattern in patterns(choice):
        hits = [
            group
            for group, own in zip(groups, names, strict=True)
            if any(fnmatchcase(name, pattern) for name in own)
        ]
        if not hits:
            raise InfeasibleTarget(unknown(groups, names, pattern, what))
        chosen.append(hits)
    return chosen


def unknown(groups: list[Group], names: list[set[str]], pattern: str, what: str) -> str:
    """Say that nothing has a name, and what is close to it."""
    inside = [g.id for g in groups if any(fnmatchcase(n, pattern) for n in member_names(g))]
    if inside:
        return (
            f"{what}: no group has the name {pattern!r}, but its channels are part of "
            f"{', '.join(inside)}: name a group"
        )
    near = difflib.get_close_matches(pattern, sorted(set().union(*names)), n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else "look at session.groups"
    return f"{what}: nothing has the name {pattern!r}: {hint}"
