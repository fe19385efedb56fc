"""How much of each box a plan takes away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from spa_kernel.views.overview.boxes import Overview

if TYPE_CHECKING:
    from spa_kernel.plan import Plan


@dataclass(frozen=True, slots=True)
class Filled:
    """The share of a box's channels that goes, and channels before and after in words."""

    share: float
    label: str


def filled(shown: Overview, plan: Plan | None) -> dict[str, Filled]:
    """By box, what a plan takes away; boxes that are no groups of the plan are left out."""
    if plan is None:
        return {}
    found = {}
    for box in shown.boxes:
        widths = [plan.widths[g] for g in box.groups if g in plan.widths]
        before = sum(width[0] for width in widths)
        if not before:
            continue
        after = sum(width[1] for width in widths)
        times = f" (× {box.times})" if box.times > 1 else ""
        label = f"{before:,} → {after:,}{times}" if after < before else f"{before:,} stay"
        found[box.id] = Filled(1 - after / before, label)
    return found
