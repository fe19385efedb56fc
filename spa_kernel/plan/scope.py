"""Which channels may go: groups that were asked for, excluded, frozen or tied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container
from dataclasses import dataclass

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.choose import Choice, matching


@dataclass(slots=True)
class Scope:
    """What may be pruned.

    Attributes
    ----------
    available : numpy.ndarray
        bool per label: may go.
    wanted : numpy.ndarray
        bool per label: was asked for. The others of ``available`` go only where a constraint
        ties them to one of these.
    excluded : list of Group
        Prunable groups that ``exclude=`` keeps whole.
    asked : list of list of Group
        For each name or glob that was asked for, its groups: one at least must be able to go.
    unscored : list of Group
        Prunable groups that stay whole because the criterion says nothing of them.
    criterion : str
        What the criterion is called.
    """

    coupling: Coupling
    available: np.ndarray
    wanted: np.ndarray
    excluded: list[Group]
    asked: list[list[Group]]
    unscored: list[Group]
    criterion: str

    def check_reach(self, reachable: np.ndarray) -> None:
        """Raise `InfeasibleTarget` unless something that was asked for can go.

        Parameters
        ----------
        reachable : numpy.ndarray
            int64, labels that some unit can remove.
        """
        can = np.zeros(self.coupling.count, dtype=bool)
        can[reachable] = True
        for groups in self.asked:
            if not any(can[group.labels].any() for group in groups):
                raise InfeasibleTarget(f"groups: {self.why_not(groups[0])}")
        if not can.any():
            limits = "; ".join(self.limits()) or "this model has no prunable channels"
            raise InfeasibleTarget(f"nothing can be pruned: {limits}")

    def why_not(self, group: Group) -> str:
        """Why no channel of a group can go."""
        called = f"{group.id} ({group.name})"
        if group in self.excluded:
            return f"{called} is excluded: take it out of exclude="
        if not group.prunable:
            return f"{called} cannot go: {group.reason}"
        if group in self.unscored:
            return (
                f"{called} stays whole: criterion {self.criterion} says nothing of it; "
                "use another criterion for it"
            )
        for constraint in self.coupling.constraints:
            if not np.isin(constraint.labels, group.labels).any():
                continue
            stuck = constraint.labels[~self.available[constraint.labels]]
            for other in self.coupling.groups if stuck.size else ():
                if np.isin(other.labels, stuck).any():
                    state = "is excluded" if other in self.excluded else "cannot go"
                    if other in self.unscored:
                        state = f"criterion {self.criterion} says nothing of"
                    return (
                        f"{called} cannot go, because {constraint.reason}: this ties it to "
                        f"{other.id} ({other.name}), which {state}"
                    )
            return f"{called} cannot go, because {constraint.reason}"
        return f"{called} cannot go: an axis that it cuts would lose its last index"

    def limits(self) -> list[str]:
        """What keeps channels from going, in words."""
        found = []
        if self.asked:
            found.append("groups= leaves all other groups whole")
        if self.excluded:
            found.append(f"exclude= keeps {', '.join(shortened([g.id for g in self.excluded]))}")
        if self.unscored:
            names = shortened([f"{g.id} ({g.name})" for g in self.unscored])
            found.append(f"criterion {self.criterion} says nothing of {', '.join(names)}")
        frozen = [g for g in self.coupling.groups if not g.prunable]
        if frozen:
            reasons = Counter(g.reason for g in frozen).most_common(3)
            listed = ", ".join(f"{reason} ({n})" for reason, n in reasons)
            found.append(f"{len(frozen)} frozen groups: {listed}")
        return found


def shortened(names: list[str], most: int = 5) -> list[str]:
    """The first names, and how many more there are."""
    return names if len(names) <= most else [*names[:most], f"{len(names) - most} more"]


def choose_scope(
    coupling: Coupling,
    groups: Choice,
    exclude: Choice,
    named: np.ndarray,
    scored: Container[str],
    criterion: str,
) -> Scope:
    """Work out what may go.

    Parameters
    ----------
    coupling : Coupling
    groups, exclude : str, Group or iterable of these, optional
    named : numpy.ndarray
        bool per group: what other arguments leave of the groups.
    scored : container of str
        Ids of the groups that the criterion says something of.
    criterion : str

    Raises
    ------
    InfeasibleTarget
        A name that nothing has.
    """
    every = coupling.groups
    excluded = matching(every, exclude, "exclude", members=True)
    asked = matching(every, groups, "groups", members=False)
    stays = {group.id for hits in excluded for group in hits}
    wish = {group.id for hits in asked for group in hits}
    available = np.zeros(coupling.count, dtype=bool)
    wanted = np.zeros(coupling.count, dtype=bool)
    for group, meant in zip(every, named, strict=True):
        if group.prunable and group.id not in stays and group.id in scored:
            available[group.labels] = True
            wanted[group.labels] = meant and (groups is None or group.id in wish)
    available &= ~coupling.frozen
    wanted &= available
    return Scope(
        coupling=coupling,
        available=available,
        wanted=wanted,
        excluded=[g for g in every if g.id in stays and g.prunable],
        asked=asked,
        unscored=[g for g in every if g.prunable and g.id not in scored],
        criterion=criterion,
    )
