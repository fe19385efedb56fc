"""From a target to a plan: what goes, what stays, and what that costs."""

from spa_kernel.plan.cost import CostModel, NodeCost
from spa_kernel.plan.plan import Plan
from spa_kernel.plan.target import make_plan

__all__ = ["CostModel", "NodeCost", "Plan", "make_plan"]
