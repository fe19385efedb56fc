"""How a training went."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa_kernel.views.blocks import Block, Cell, Column, Line, Table, Title
from spa_kernel.views.units import count

if TYPE_CHECKING:
    from spa_kernel.training import Training


def training_blocks(training: Training) -> list[Block]:
    """The mean loss of each epoch."""
    blocks: list[Block] = [
        Title("Trained", count(training.epochs, "epoch")),
        Table(
            [Column("Epoch", right=True), Column("Loss", right=True, help="mean over its batches")],
            [
                [Cell(str(epoch)), Cell(f"{loss:.4g}")]
                for epoch, loss in enumerate(training.losses, 1)
            ],
        ),
    ]
    if training.interrupted:
        at = f"Interrupted in epoch {len(training.losses)}; what was trained until then stays."
        blocks.append(Line(at, tone="bad"))
    return blocks
