"""What a prune did."""

from __future__ import annotations

from dataclasses import dataclass, field
from math import prod

from spa_kernel.frontends.backend import Verification
from spa_kernel.plan import Plan
from spa_kernel.views.rich import Rich


@dataclass(frozen=True, slots=True, repr=False)
class Report(Rich):
    """The result of `Session.prune`.

    Attributes
    ----------
    plan : Plan
        What was carried out.
    verification : Verification
        How it was checked, and the difference that was found.
    step : int
        Its place in the history.
    seconds : float
        How long it took.
    notes : list of str
        What a person should know besides.
    steps : list of Report
        Where the target was reached in several prunes, the report of each.
    """

    plan: Plan
    verification: Verification
    step: int
    seconds: float
    notes: list[str]
    steps: list[Report] = field(default_factory=list)

    @property
    def rf(self) -> float:
        """FLOPs before (the first step), divided by FLOPs after."""
        return prod(step.plan.rf for step in self.steps) if self.steps else self.plan.rf

    @property
    def rp(self) -> float:
        """Parameters before (the first step), divided by parameters after."""
        return prod(step.plan.rp for step in self.steps) if self.steps else self.plan.rp

    @property
    def verified(self) -> bool:
        """Whether the pruned model was checked against what the plan foretold."""
        return self.verification.ok

    def __repr__(self) -> str:
        return f"Report(RF {self.rf:.2f}, RP {self.rp:.2f}, verified={self.verified})"


@dataclass(frozen=True, slots=True)
class Frozen:
    """Channels that cannot go.

    Attributes
    ----------
    group, name : str
        Id and name of their group; the parameter's name, and no id, for one that is not used.
    size : int
        How many they are.
    reason : str
    params : int
        Parameters that these channels hold in place.
    """

    group: str
    name: str
    size: int
    reason: str
    params: int
