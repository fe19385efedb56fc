"""Weights that are only used after a number was added to them."""

from __future__ import annotations

import pytest
from test_folding import Draft

from spa_kernel.coupling.folding import Folding
from spa_kernel.graph import Value


def network(*numbers: float, plain: bool = False, alpha: int = 1) -> tuple[Draft, Value]:
    """Something to scale, and the sums of a weight with numbers that it is multiplied by."""
    draft = Draft()
    x = draft.add("Sigmoid", (2, 4), draft.input(2, 4))
    scaled = y = draft.add("Mul", (2, 4), x)
    weight = draft.weight("w", 4)
    for value in numbers:
        cast = draft.add("Cast", (4,), weight)
        y = draft.add("Mul", (2, 4), y, draft.add("Add", (4,), cast, scalar=value, alpha=alpha))
        draft.graph.outputs = [y]
    if plain:
        draft.graph.outputs.append(draft.add("Mul", (2, 4), x, weight))
    return draft, scaled


def test_the_sum_takes_the_factor() -> None:
    draft, scaled = network(1.0)
    assert draft.folded(scaled) == {"w": [1] * 4}
    assert Folding(draft.graph).offsets == {"w": 1.0}


def test_the_same_sum_twice() -> None:
    draft, _ = network(1.0, 1.0)
    assert Folding(draft.graph).offsets == {"w": 1.0}


@pytest.mark.parametrize(
    "other", [network(1.0, 2.0), network(1.0, plain=True), network(1.0, alpha=2)]
)
def test_no_other_sums(other: tuple[Draft, Value]) -> None:
    draft, scaled = other
    assert draft.folded(scaled) is None
    assert not Folding(draft.graph).offsets
