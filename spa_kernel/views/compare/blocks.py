"""Before and after as blocks: the totals, the picture, and a table that says the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from spa_kernel.views.blocks import (
    Block,
    Cell,
    Column,
    Fact,
    Facts,
    Picture,
    Table,
    Title,
)
from spa_kernel.views.compare.states import Comparison, Stage, comparison
from spa_kernel.views.measurement_view import milliseconds, size
from spa_kernel.views.units import amount, change, factor

if TYPE_CHECKING:
    from spa_kernel.plan import Plan
    from spa_kernel.session import Measurement, Session


def comparison_blocks(
    session: Session, measurement: Measurement | None = None, plan: Plan | None = None
) -> list[Block]:
    """What each stage of a model costs, before and after.

    Parameters
    ----------
    session : Session
        The start of its history is compared with now.
    measurement : Measurement, optional
        What `spa_kernel.measure` found, to be shown as well.
    plan : Plan, optional
        Compare the model as it is now with what would be left of it instead.
    """
    found = comparison(session, plan)
    return [
        Title(f"Cost of {found.name}", headline(found)),
        Facts(
            [
                Fact("FLOPs", *both(*found.flops)),
                Fact("Parameters", *both(*found.params)),
                *(measured(measurement) if measurement is not None and plan is None else []),
            ]
        ),
        Picture(partial(drawn, found, measurement if plan is None else None), words(found)),
        table(found),
    ]


def headline(found: Comparison) -> str:
    """Which two states these are."""
    if found.predicted:
        return "as it is, and as the plan would leave it"
    return "not pruned" if found.same else "at first, and now"


def words(found: Comparison) -> str:
    """What the picture shows, for those who cannot see it."""
    return (
        f"FLOPs and parameters of {len(found.stages)} stages of {found.name} before and after, "
        f"as bars: FLOPs {found.flops[0]:,} to {found.flops[1]:,}, parameters "
        f"{found.params[0]:,} to {found.params[1]:,}. A table says the same."
    )


def drawn(found: Comparison, measurement: Measurement | None) -> bytes:
    """The figure as a PNG; matplotlib is loaded only where there is a picture to draw."""
    from spa_kernel.views.compare.figure import draw
    from spa_kernel.views.figures import png

    return png(draw(found, measurement))


def table(found: Comparison) -> Table:
    """One row per stage, and the totals."""
    columns = [
        Column("Stage", elastic=True, help="a module; open it for the width of each layer"),
        Column("Channels", right=True, help="that its layers make, all together"),
        Column("FLOPs", right=True),
        Column("÷", right=True),
        Column("Parameters", right=True),
        Column("÷", right=True),
    ]
    rows = [line(stage) for stage in found.stages]
    if len(rows) > 1:
        rows.append(line(Stage("all", found.flops, found.params, [])))
    return Table(columns, rows, current=len(rows) - 1 if len(rows) > 1 else None)


def line(stage: Stage) -> list[Cell]:
    """One stage."""
    layers = [f"{layer.name}: {arrow(layer.width)}" for layer in stage.layers]
    # A stage of one layer says it all in the next column.
    items = layers if len(layers) > 1 else ()
    return [
        Cell(stage.ending or "all", title=stage.name, code=True, items=items),
        Cell(arrow(stage.width) if stage.layers else ""),
        *ratio(*stage.flops),
        *ratio(*stage.params),
    ]


def ratio(before: int, after: int) -> list[Cell]:
    """A cost before and after, and how many times less it is."""
    if before == after:
        return [amount(before), Cell("")]
    return [change(before, after), Cell(factor(before, after))]


def both(before: int, after: int) -> tuple[Cell, str]:
    """The same for a total."""
    if before == after:
        return amount(before), ""
    return change(before, after), f"÷ {factor(before, after)}"


def measured(measurement: Measurement) -> list[Fact]:
    """What was measured."""
    facts = [
        Fact(
            f"Latency, {by}",
            Cell(f"{milliseconds(time.before).text} → {milliseconds(time.after).text}",
                 title=f"{time.runs} pairs of runs, in turns"),
            f"÷ {time.factor:.2f} ± {time.factor * time.spread:.2f}",
        )
        for by, time in measurement.latency.items()
    ]  # fmt: skip
    for what, (before, after) in (
        ("Size on disk", measurement.size),
        ("Activations", measurement.memory),
    ):
        text = f"{size(before).text} → {size(after).text}"
        title = f"{before:,} → {after:,} bytes"
        facts.append(Fact(what, Cell(text, title=title), f"÷ {factor(before, after)}"))
    return facts


def arrow(width: tuple[int, int]) -> str:
    """A width before and after; once where it is the same."""
    before, after = width
    return f"{before:,}" if before == after else f"{before:,} → {after:,}"
