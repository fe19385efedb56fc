"""The plan: which indices of which axes stay, and what that is predicted to cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.cost import CostModel
from spa_kernel.plan.limits import check_removed
from spa_kernel.views.rich import Rich

Members = list[tuple[str, int]]


@dataclass(frozen=True, eq=False, repr=False)
class Plan(Rich):
    """A prune that has not been carried out yet.

    Attributes
    ----------
    kept : dict
        ``{name: {axis: indices}}``: for every parameter and buffer and every axis that loses
        something, the sorted int64 indices that stay.
    removed : dict
        ``{group id: indices}``: sorted int64 positions within the group that go.
    flops, params : tuple of int
        Before and after, exact.
    memory : tuple of int
        Peak activation memory in bytes before and after, exact for `spa_kernel.plan.memory`.
    widths : dict
        ``{group id: (before, after)}`` in coupled channels, for every group.
    members : dict
        ``{group id: [(name, axis), ...]}`` of the groups that lose something, so that the plan
        finds them again in another session on the same network.
    settings : dict
        What was asked for, as plain JSON values.
    latency : tuple of float or None
        Seconds of one forward before and after, as measured on this machine, where the plan was
        made for a latency.
    batches : iterable or None
        Batches of inputs that weights are reconstructed on, where they are to be; they do not
        become part of the text.
    """

    kept: dict[str, dict[int, np.ndarray]]
    removed: dict[str, np.ndarray]
    flops: tuple[int, int]
    params: tuple[int, int]
    memory: tuple[int, int]
    widths: dict[str, tuple[int, int]]
    members: dict[str, Members] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    latency: tuple[float, float] | None = None
    batches: Any = None

    @classmethod
    def from_mask(
        cls,
        coupling: Coupling,
        cost: CostModel,
        removed: np.ndarray,
        settings: Mapping[str, Any] | None = None,
    ) -> Plan:
        """The plan that removes the labels of a bool mask.

        Parameters
        ----------
        coupling : Coupling
        cost : CostModel
            Of the same coupling.
        removed : numpy.ndarray
            bool, one per label.
        settings : mapping, optional
        """
        gone = {g.id: np.flatnonzero(removed[g.labels]) for g in coupling.groups}
        cut = {name: indices for name, indices in gone.items() if indices.size}
        return cls(
            kept=kept_indices(coupling, cost.axes, removed),
            removed=cut,
            flops=(cost.base[0], cost.flops(removed)),
            params=(cost.base[1], cost.params(removed)),
            memory=(int(cost.measure("memory").base), cost.memory(removed)),
            widths={g.id: (g.size, g.size - gone[g.id].size) for g in coupling.groups},
            members={g.id: list(g.members) for g in coupling.groups if g.id in cut},
            settings=dict(settings or {}),
        )

    @property
    def rf(self) -> float:
        """FLOPs before divided by FLOPs after."""
        return self.flops[0] / self.flops[1] if self.flops[1] else 1.0

    @property
    def rp(self) -> float:
        """Parameters before divided by parameters after."""
        return self.params[0] / self.params[1] if self.params[1] else 1.0

    def mask(self, coupling: Coupling) -> np.ndarray:
        """The labels that go, in a model's coupling.

        Parameters
        ----------
        coupling : Coupling
            Of the model that the plan was made for, or of the same network in another framework:
            groups are found by the parameters that they cut, then by id.

        Returns
        -------
        numpy.ndarray
            bool, one per label.

        Raises
        ------
        InfeasibleTarget
            The plan is not one for this model.
        """
        removed = np.zeros(coupling.count, dtype=bool)
        find = GroupFinder(coupling)
        for name, indices in self.removed.items():
            group = find(name, self.members.get(name, []), self.widths[name][0])
            if not group.prunable:
                raise InfeasibleTarget(
                    f"the plan cuts {group.id} ({group.name}), which cannot go: {group.reason}"
                )
            removed[group.labels[indices]] = True
        check_removed(coupling, DistinctAxes(coupling), removed)
        return removed

    def to_json(self) -> str:
        """The plan as text; `from_json` gives it back exactly."""
        from spa_kernel.plan.text import to_json

        return to_json(self)

    @classmethod
    def from_json(cls, text: str) -> Plan:
        """Read a plan; every field is checked.

        Raises
        ------
        InfeasibleTarget
            The text is not a plan, is damaged, or was written by a newer version.
        """
        from spa_kernel.plan.text import from_json

        return from_json(text)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.flops, self.params, tuple(self.widths.items())))

    def __repr__(self) -> str:
        gone = sum(map(len, self.removed.values()))
        groups = "group" if len(self.removed) == 1 else "groups"
        flops, params = ("{:,} → {:,}".format(*pair) for pair in (self.flops, self.params))
        times = "; latency {:.3g} → {:.3g} s".format(*self.latency) if self.latency else ""
        return (
            f"Plan({gone:,} channels of {len(self.removed)} {groups} go; "
            f"RF {self.rf:.2f}: {flops} FLOPs; RP {self.rp:.2f}: {params} parameters{times})"
        )

    def __str__(self) -> str:
        """One line, for ``print``; a notebook shows the table, and `render_text` gives it."""
        return repr(self)


def kept_indices(
    coupling: Coupling, axes: DistinctAxes, removed: np.ndarray
) -> dict[str, dict[int, np.ndarray]]:
    """`Plan.kept` of a mask over labels."""
    short = axes.sizes(removed) < axes.lengths
    indices: dict[int, np.ndarray] = {}
    kept: dict[str, dict[int, np.ndarray]] = {}
    for name, value in coupling.graph.stored.items():
        for axis in range(value.ndim if value.kind != "attribute" else 0):
            number = axes.number.get((value, axis))
            if number is None or not short[number]:
                continue
            if number not in indices:
                indices[number] = np.flatnonzero(coupling.kept((value, axis), removed))
            kept.setdefault(name, {})[axis] = indices[number].copy()
    return kept


class GroupFinder:
    """Finds a plan's groups in a coupling, each at most once."""

    def __init__(self, coupling: Coupling) -> None:
        self.groups = coupling.groups
        self.by_id = {group.id: group for group in coupling.groups}
        self.by_member: dict[tuple[str, int], list[Group]] = {}
        for group in coupling.groups:
            for member in group.members:
                self.by_member.setdefault(member, []).append(group)
        self.used: set[str] = set()

    def __call__(self, name: str, members: Members, size: int) -> Group:
        """The group with these members and this size; ids decide where members do not."""
        if members:
            shared: dict[str, int] = {}
            for member in members:
                for group in self.by_member.get(member, ()):
                    shared[group.id] = shared.get(group.id, 0) + 1
            # An axis of concatenated parts has several groups: the best overlap is meant, of the
            # fewest other members, and the id where there are equal ones.
            found = max(
                (self.by_id[i] for i in shared if self.by_id[i].size == size),
                key=lambda g: (2 * shared[g.id] - len(g.members), g.id == name),
                default=None,
            )
        else:
            found = self.by_id.get(name)
        if found is None or found.size != size or found.id in self.used:
            raise InfeasibleTarget(self.mismatch(name, members, size, found))
        self.used.add(found.id)
        return found

    def mismatch(self, name: str, members: Members, size: int, found: Group | None) -> str:
        what = f"{name} of {size} channels" + (f" (of {members[0][0]!r})" if members else "")
        if found is None or found.id in self.used:
            near = self.by_id.get(name)
            has = f"its {name} is {near.name!r} of {near.size}" if near else f"it has no {name}"
        else:
            has = f"it has {found.size} there"
        return (
            f"the plan does not belong to this model: the plan cuts {what}, {has}. "
            "Was the model pruned in between? Undo that, or make a new plan"
        )
