"""Stored tables of positions: cut and renumbered with the axis that they point into."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from reference import judge, ordinary
from torch import nn

import spa_kernel as spa

EXACT = 1e-5
PERMUTATION = torch.tensor([5, 2, 7, 0, 3, 6, 1, 4])


class Network(nn.Module):
    """Two convolutions, tables, and what happens in between."""

    def __init__(self, between: Callable[..., Any], width: int, **tables: torch.Tensor) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 8, 3, padding=1)
        self.middle = nn.Conv2d(8, 8, 1)
        self.norm = nn.BatchNorm2d(8)
        self.last = nn.Conv2d(width, 4, 1)
        self.between = between
        for name, table in tables.items():
            self.register_buffer(name, table.clone())

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(self.between(self, F.relu(self.first(x))))


PAIRS = torch.tensor([1, 0, 3, 2, 5, 4, 7, 6])
MASK = torch.tensor([1, 0, 1, 1, 0, 1, 1, 0]).bool()
FOLLOWED: dict[str, Callable[[], nn.Module]] = {
    "indexing": lambda: Network(lambda s, x: x[:, s.table], 8, table=PERMUTATION),
    "index_select": lambda: Network(lambda s, x: x.index_select(1, s.table), 8, table=PERMUTATION),
    "a subset": lambda: Network(lambda s, x: x[:, s.table], 4, table=torch.tensor([1, 3, 4, 6])),
    "from the back": lambda: Network(lambda s, x: x[:, s.table], 3, table=torch.tensor([1, -3, 6])),
    "repeats": lambda: Network(
        lambda s, x: x[:, s.table], 8, table=torch.tensor([1, 1, 3, 4, 6, 0, 0, 2])
    ),
    "swapped pairs": lambda: Network(lambda s, x: x + x[:, s.table], 8, table=PAIRS),
    "there and back": lambda: Network(
        lambda s, x: s.norm(x[:, s.table])[:, s.back],
        8,
        table=PERMUTATION,
        back=PERMUTATION.argsort(),
    ),
    "twice": lambda: Network(
        lambda s, x: s.middle(x[:, s.table])[:, s.table], 8, table=PERMUTATION
    ),
    "a mask": lambda: Network(lambda s, x: x[:, s.mask], 5, mask=MASK),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_tables_follow(name: str) -> None:
    torch.manual_seed(0)
    model = ordinary(FOLLOWED[name]())
    before = {n: b.clone() for n, b in model.named_buffers()}

    def shorter(session: spa.Session, report: spa.Report) -> None:
        for n, table in model.named_buffers():
            if n in ("table", "back", "mask"):
                assert len(table) < len(before[n])
                assert table.dtype == before[n].dtype

    wishes = {"ratio": 0.5, "scope": "local", "verify": False}
    outcome = judge(model, torch.randn(2, 3, 8, 8), also=shorter, **wishes)
    assert not outcome.refused, outcome.refused
    assert outcome.error < EXACT
    assert outcome.lost > 0.2
    assert all(torch.equal(b, before[n]) for n, b in model.named_buffers())


HELD: dict[str, Callable[[], nn.Module]] = {
    "numbers of the table": lambda: Network(
        lambda s, x: x[:, s.table] * s.table.view(1, -1, 1, 1), 8, table=PERMUTATION
    ),
    "something worked out from it": lambda: Network(
        lambda s, x: s.norm(x[:, s.table])[:, torch.argsort(s.table)], 8, table=PERMUTATION
    ),
    "two axes of different lengths": lambda: Network(
        lambda s, x: torch.cat([x, x], 1)[:, s.table] + x[:, s.table], 8, table=PERMUTATION
    ),
}


@pytest.mark.parametrize("name", HELD)
def test_tables_that_mean_more_hold_on_to_channels(name: str) -> None:
    torch.manual_seed(0)
    session = spa.analyze(ordinary(HELD[name]()), (2, 3, 8, 8))
    assert not any(("first.weight", 0) in g.members for g in session.groups if g.prunable)


def test_a_list_in_the_code_holds_on_to_channels() -> None:
    session = spa.analyze(Network(lambda s, x: x[:, [3, 1, 2]], 3), (2, 3, 8, 8))
    assert not any(group.prunable for group in session.groups)


def test_several_prunes_and_a_way_back() -> None:
    torch.manual_seed(0)
    model = ordinary(Network(lambda s, x: x[:, s.table], 8, table=PERMUTATION)).eval()
    x = torch.randn(2, 3, 8, 8)
    outputs, tables = [model(x)], [model.table.clone()]
    session = spa.analyze(model, x)
    for _ in range(2):
        session.prune(ratio=0.3, criterion="l1")
        outputs.append(model(x))
        tables.append(model.table.clone())
    assert sorted(tables[-1].tolist()) == list(range(len(tables[-1])))
    for wanted, table in list(zip(outputs, tables, strict=True))[-2::-1]:
        session.undo()
        assert torch.equal(model.table, table)
        assert torch.equal(model(x), wanted)
    session.redo()
    assert torch.equal(model.table, tables[1])
