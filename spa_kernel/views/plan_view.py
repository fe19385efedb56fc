"""A plan, and the report of one that was carried out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spa_kernel.views.blocks import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Fold,
    Line,
    Table,
    Title,
)
from spa_kernel.views.session_view import LAYER
from spa_kernel.views.units import change, count, factor, ranges, seconds

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Report


def plan_blocks(plan: Plan) -> list[Block]:
    """What would go; nothing has been changed."""
    return [
        Title("Plan", f"{wish(plan.settings)}; nothing is changed yet"),
        _totals(plan),
        *width_blocks(plan),
    ]


def report_blocks(report: Report) -> list[Block]:
    """What went, what it gained, and how it was checked."""
    return [
        Title("Pruned", f"step {report.step}, {wish(report.plan.settings)}"),
        _totals(report.plan),
        _verified(report),
        *(Line(f"Note: {note}.", tone="muted") for note in report.notes),
        *width_blocks(report.plan),
    ]


def wish(settings: dict[str, Any]) -> str:
    """The settings of a plan in words."""
    goals = [
        text.format(settings[key])
        for key, text in {
            "flops": "FLOPs ÷ {:g}",
            "params": "parameters ÷ {:g}",
            "latency": "latency ÷ {:g}",
            "memory": "memory ÷ {:g}",
            "ratio": "{:.0%} of the channels",
        }.items()
        if settings.get(key) is not None
    ]
    criterion = settings.get("criterion")
    by = [f"by {criterion}"] if isinstance(criterion, str) else []
    spread = {"global": ["over all groups"], "local": ["from every group alike"]}
    return ", ".join([*goals, *by, *spread.get(settings.get("scope", ""), [])])


def _totals(plan: Plan) -> Facts:
    lost = [before - after for before, after in plan.widths.values() if before > after]
    return Facts(
        [
            Fact("FLOPs", change(*plan.flops), f"÷ {factor(*plan.flops)}"),
            Fact("Parameters", change(*plan.params), f"÷ {factor(*plan.params)}"),
            Fact("Channels", Cell(f"{sum(lost):,} go"), f"from {count(len(lost), 'group')}"),
        ]
    )


def _verified(report: Report) -> Line:
    took = f"took {seconds(report.seconds)}"
    if not report.verified:
        return Line(f"Not verified; {took}.", tone="muted")
    check = report.verification
    error = "" if check.error is None else f", largest difference {check.error:.0e}"
    return Line(f"✓ Verified: {check.how}{error}; {took}.", tone="good")


def width_blocks(plan: Plan) -> list[Block]:
    """Group by group: channels before and after. Groups that stay whole are folded away."""
    cut = {group: widths for group, widths in plan.widths.items() if widths[0] != widths[1]}
    whole = {group: widths for group, widths in plan.widths.items() if group not in cut}
    blocks: list[Block] = []
    if cut:
        columns = [
            Column("Group"),
            LAYER,
            Column("Channels", right=True, help="before → after"),
            Column("What stays"),
            Column("Go", help="open for the indices"),
        ]
        rows = [
            [
                Cell(group),
                Cell(_layer(plan, group), code=True),
                Cell(f"{before:,} → {after:,}"),
                Cell(f"{after / before:.0%}", share=after / before),
                Cell(f"{before - after:,}", items=[ranges(plan.removed[group])]),
            ]
            for group, (before, after) in cut.items()
        ]
        blocks.append(Table(columns, rows))
    if whole:
        names = ", ".join(f"{group} ({before})" for group, (before, _) in whole.items())
        summary = f"{count(len(whole), 'group keeps', 'groups keep')} all channels"
        blocks.append(Fold(summary, [Line(names)]))
    return blocks


def _layer(plan: Plan, group: str) -> str:
    """The layer that makes the channels: the first that loses any."""
    members = plan.members.get(group)
    return members[0][0].rpartition(".")[0] or members[0][0] if members else ""
