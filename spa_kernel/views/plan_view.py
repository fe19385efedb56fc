"""A plan, and the report of one that was carried out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from spa_kernel.views.measurement_view import milliseconds, size
from spa_kernel.views.session_view import LAYER
from spa_kernel.views.units import change, count, factor, ranges, seconds

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Report


GOALS = {
    "flops": "FLOPs ÷ {:g}",
    "params": "parameters ÷ {:g}",
    "latency": "latency ÷ {:g}",
    "memory": "activations ÷ {:g}",
    "ratio": "{:.0%} of the channels",
}
SPREADS = {
    "global": "over all groups",
    "local": "from every group alike",
    "isomorphic": "among groups built alike",
}


def plan_blocks(plan: Plan) -> list[Block]:
    """What would go; nothing has been changed."""
    return [
        Title("Plan", f"{wish(plan.settings)}; nothing is changed yet"),
        total_facts(plan.flops, plan.params, [plan]),
        *width_blocks(plan),
    ]


def report_blocks(report: Report) -> list[Block]:
    """What went, what it gained, and how it was checked."""
    steps = report.steps or [report]
    settings = report.plan.settings
    if report.steps:
        # The last step's own target says little.
        settings = {name: value for name, value in settings.items() if name not in GOALS}
    at = f"in {count(len(steps), 'step')}" if report.steps else f"step {report.step}"
    return [
        Title("Pruned", f"{at}, {wish(settings)}"),
        total_facts(report.flops, report.params, [step.plan for step in steps]),
        _verified(report),
        *(Line(f"Note: {note}.", tone="muted") for note in report.notes),
        *(step_blocks(steps) if report.steps else width_blocks(report.plan)),
    ]


def step_blocks(steps: Sequence[Report]) -> list[Block]:
    """Step by step: what went, and what was gained by then; then what each group lost in all."""
    columns = [
        Column("Step", right=True),
        Column("Channels", right=True),
        Column("FLOPs", right=True, help="before → after"),
        Column("÷", right=True),
        Column("Parameters", right=True, help="before → after"),
        Column("÷", right=True),
        Column("Time", right=True),
    ]
    rows = [
        [
            Cell(str(step.step)),
            Cell(f"{lost([step.plan])[0]:,} go"),
            change(*step.plan.flops),
            Cell(factor(*step.plan.flops)),
            change(*step.plan.params),
            Cell(factor(*step.plan.params)),
            Cell(seconds(step.seconds)),
        ]
        for step in steps
    ]
    last = Fold(f"Step {steps[-1].step}, group by group", width_blocks(steps[-1].plan))
    return [Table(columns, rows), last]


def wish(settings: dict[str, Any]) -> str:
    """The settings of a plan in words."""
    goals = [
        text.format(settings[key])
        for key, text in GOALS.items()
        if settings.get(key) is not None and not isinstance(settings[key], Mapping)
    ]
    if isinstance(settings.get("ratio"), Mapping):
        parts = [f"{part:.0%} of {name}" for name, part in settings["ratio"].items()]
        text = ", ".join(parts)
        goals = [text if len(text) <= 40 else f"{len(parts)} groups by shares of their own"]
    criterion = settings.get("criterion")
    by = [f"by {criterion}"] if isinstance(criterion, str) else []
    scope = settings.get("scope")
    if isinstance(scope, Mapping):
        spread = [f"over {' and '.join(scope)}, each on its own"]
    elif isinstance(settings.get("ratio"), Mapping):
        spread = []
    else:
        spread = [SPREADS[scope]] if scope in SPREADS else []
    return ", ".join([*goals, *by, *spread])


def lost(plans: Sequence[Plan]) -> tuple[int, int]:
    """How many channels go in some prunes of one model, and from how many groups."""
    cut = [(g, b - a) for plan in plans for g, (b, a) in plan.widths.items() if b > a]
    return sum(n for _, n in cut), len({g for g, _ in cut})


def total_facts(flops: tuple[int, int], params: tuple[int, int], plans: Sequence[Plan]) -> Facts:
    """What some prunes of one model, one after the other, come to."""
    channels, groups = lost(plans)
    memory = plans[0].memory[0], plans[-1].memory[1]
    sizes = f"{size(memory[0]).text} → {size(memory[1]).text}"
    title = "{:,} → {:,} bytes alive at the worst moment of a forward".format(*memory)
    return Facts(
        [
            Fact("FLOPs", change(*flops), f"÷ {factor(*flops)}"),
            Fact("Parameters", change(*params), f"÷ {factor(*params)}"),
            Fact("Activations", Cell(sizes, title=title), f"÷ {factor(*memory)}"),
            *(_latency(*plan.latency) for plan in plans if plan.latency and len(plans) == 1),
            Fact("Channels", Cell(f"{channels:,} go"), f"from {count(groups, 'group')}"),
        ]
    )


def _latency(before: float, after: float) -> Fact:
    times = f"{milliseconds(before).text} → {milliseconds(after).text}"
    title = f"{before!r} s → {after!r} s, measured on this machine"
    return Fact("Latency", Cell(times, title=title), f"÷ {factor(before, after)}")


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
