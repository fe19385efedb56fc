"""Why the channels of a layer hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spa_kernel.views.blocks import Block, Line, Points, Section, Title

if TYPE_CHECKING:
    from spa_kernel.session import Explanation


def explanation_blocks(explanation: Explanation) -> list[Block]:
    """One section per axis of the layer: its group, a sentence, and what joins them."""
    blocks: list[Block] = [Title(explanation.layer, "what hangs together, and why")]
    for axis, group, sentence, joined in explanation.parts:
        blocks.append(Section(axis, group or "cannot go", code=False))
        blocks.append(Line(sentence))
        if joined:
            blocks.append(Points(joined))
    return blocks
