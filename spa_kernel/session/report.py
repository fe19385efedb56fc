"""What a prune did."""

from __future__ import annotations

from dataclasses import dataclass, field

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
    def flops(self) -> tuple[int, int]:
        """FLOPs before (the first step) and after."""
        return (self.steps[0] if self.steps else self).plan.flops[0], self.plan.flops[1]

    @property
    def params(self) -> tuple[int, int]:
        """Parameters before (the first step) and after."""
        return (self.steps[0] if self.steps else self).plan.params[0], self.plan.params[1]

    @property
    def rf(self) -> float:
        """FLOPs before (the first step), divided by FLOPs after."""
        before, after = self.flops
        return before / after if after else 1.0

    @property
    def rp(self) -> float:
        """Parameters before (the first step), divided by parameters after."""
        before, after = self.params
        return before / after if after else 1.0

    @property
    def verified(self) -> bool:
        """Whether the pruned model was checked against what the plan foretold."""
        return all(step.verification.ok for step in self.steps or [self])

    def __repr__(self) -> str:
        return f"Report(RF {self.rf:.2f}, RP {self.rp:.2f}, verified={self.verified})"
