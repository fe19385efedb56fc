"""Sizes that a program works out: repaired, tied by a count, or frozen; never left wrong."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.coupling.equations import constrain
from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Graph, Value
from spa_kernel.graph.sizes import ARITHMETIC, Attr, Const, Dim, Expr, Op, SizeUse

SIZES = (6, 4, 2)
HEADS = Attr("layer", "heads", (), 2)


class Program:
    """Three free axes and a merged one, and size uses over them."""

    def __init__(self) -> None:
        self.axes = [(Value(f"v{i}", (n,), "parameter"), 0) for i, n in enumerate(SIZES)]
        starts = np.cumsum([0, *SIZES])
        labels = [np.arange(a, b)[:, None] for a, b in itertools.pairwise(starts)]
        self.merged = (Value("merged", (SIZES[1] * SIZES[2],)), 0)
        h, w = labels[1][:, 0], labels[2][:, 0]
        grid = np.stack([np.repeat(h, len(w)), np.tile(w, len(h))], axis=1)
        known = dict(zip(self.axes, labels, strict=True)) | {self.merged: grid}
        count = int(starts[-1])
        self.coupling = Coupling(Graph(), known, count, np.zeros(count, dtype=bool), {})

    def dim(self, i: int) -> Dim:
        axis = self.merged if i == 3 else self.axes[i]
        return Dim(axis, axis[0].shape[0])

    def use(self, i: int, expr: Expr) -> None:
        self.coupling.graph.sizes.append(SizeUse(self.dim(i).axis, expr, "View in net (x.py:1)"))

    def allowed(self) -> Iterator[np.ndarray]:
        """Every removal that freezes and constraints permit, and that empties no axis."""
        free = np.flatnonzero(~self.coupling.frozen)
        for choice in itertools.product([False, True], repeat=len(free)):
            removed = np.zeros(self.coupling.count, dtype=bool)
            removed[free] = choice
            if all(self.coupling.size(a, removed) for a in self.coupling.axes) and all(
                c.coefficients @ removed[c.labels] == 0 for c in self.coupling.constraints
            ):
                yield removed


def evaluate(expr: Expr, coupling: Coupling, removed: np.ndarray, attrs: dict[Attr, int]) -> int:
    """What the program works out after a prune."""
    match expr:
        case Const():
            return expr.value
        case Attr():
            return attrs.get(expr, expr.value)
        case Dim():
            return coupling.size(expr.axis, removed)
    left = evaluate(expr.left, coupling, removed, attrs)
    right = evaluate(expr.right, coupling, removed, attrs)
    return int(ARITHMETIC[expr.symbol](left, right))


def op(symbol: str, left: Expr, right: Expr) -> Op:
    return Op(symbol, left, right, ARITHMETIC[symbol](left.value, right.value))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Size uses that hold before the prune, over random expressions."""
    program = Program()

    def leaf() -> Expr:
        kind = draw(st.integers(0, 5))
        return program.dim(kind) if kind < 4 else HEADS if kind == 4 else Const(2)

    for _ in range(draw(st.integers(1, 3))):
        expr: Expr = leaf()
        if draw(st.booleans()):
            expr = op(draw(st.sampled_from(["+", "-", "*", "//", "ceil"])), expr, leaf())
        for i in range(4):
            if program.dim(i).value == expr.value:
                program.use(i, expr)
    return program


@given(programs())
def test_every_size_is_right_after_every_allowed_prune(program: Program) -> None:
    coupling = program.coupling
    repairs = constrain(coupling)
    for removed in program.allowed():
        values = repairs.values(removed)
        if any(v.denominator != 1 for v in values.values()):
            continue  # The surgery refuses these: no attribute is worth half a channel.
        attrs = {a: int(v) for a, v in values.items()}
        for use in coupling.graph.sizes:
            assert evaluate(use.expr, coupling, removed, attrs) == coupling.size(use.axis, removed)


def test_a_number_in_the_code_freezes() -> None:
    program = Program()
    program.use(0, Const(6))
    constrain(program.coupling)
    assert program.coupling.frozen.tolist() == [True] * 6 + [False] * 6
    assert "6 is written in the code: View in net (x.py:1)" in program.coupling.reasons[0]


def test_an_attribute_is_repaired() -> None:
    program = Program()
    program.use(3, op("*", Attr("layer", "dim", (), 4), HEADS))
    program.use(1, Attr("layer", "dim", (), 4))
    repairs = constrain(program.coupling)
    assert not program.coupling.frozen.any()
    removed = np.zeros(program.coupling.count, dtype=bool)
    removed[[6, 10]] = True
    assert {a.name: int(v) for a, v in repairs.values(removed).items()} == {"dim": 3, "heads": 1}


def test_halves_are_tied_by_their_counts() -> None:
    """``chunk(2)`` in the code: both halves lose equally many, though not the same ones."""
    program = Program()
    half = (Value("half", (3,)), 0)
    program.coupling.axes[half] = np.arange(3)[:, None]
    program.coupling.graph.sizes.append(
        SizeUse(half, op("ceil", program.dim(0), Const(2)), "Split in net")
    )
    constrain(program.coupling)
    sizes = {
        (program.coupling.size(program.dim(0).axis, r), program.coupling.size(half, r))
        for r in program.allowed()
    }
    assert {(6, 3), (4, 2), (2, 1)} <= sizes
    assert all(whole == 2 * part for whole, part in sizes)


@pytest.mark.parametrize("value", [2, 3])
def test_one_attribute_for_two_sizes_ties_them(value: int) -> None:
    """Two axes that one attribute stands for lose equally many."""
    program = Program()
    attr = Attr("layer", "width", (), value)
    for i, size in ((0, 6), (1, 4)):
        program.coupling.graph.sizes.append(
            SizeUse(program.dim(i).axis, op("+", attr, Const(size - value)), "View in net")
        )
    repairs = constrain(program.coupling)
    for removed in program.allowed():
        left = value - int(removed[:6].sum())
        values = {a.name: v for a, v in repairs.values(removed).items()}
        assert values.get("width", value) == left
        assert removed[:6].sum() == removed[6:10].sum()


def test_a_factor_on_both_sides_cancels() -> None:
    """Queries and values in heads: as many heads in both, so the rest is tied by its count."""
    program = Program()
    size, (heads, width) = 4, (program.coupling.axes[program.axes[i]][:, 0] for i in (2, 1))
    width, other = width[:2], width[2:]
    parts = [(Value(name, (size,)), 0) for name in ("queries", "values")]
    for part, labels in zip(parts, (width, other), strict=True):
        grid = np.stack([np.repeat(heads, 2), np.tile(labels, 2)], axis=1)
        program.coupling.axes[part] = grid
        attr = Attr("layer", "dim", (), size)
        program.coupling.graph.sizes.append(SizeUse(part, attr, "Split in net"))
    constrain(program.coupling)
    assert not program.coupling.frozen.any()
    left = {tuple(program.coupling.size(part, r) for part in parts) for r in program.allowed()}
    assert left == {(1, 1), (2, 2), (4, 4)}


def test_an_attribute_inside_a_sum_is_repaired() -> None:
    """``view(groups, heads // groups + 2)`` in the code: both numbers are found."""
    program = Program()
    groups, heads = Attr("layer", "groups", (), 2), Attr("layer", "heads", (), 4)
    program.use(2, groups)
    program.use(1, op("+", op("//", heads, groups), Const(2)))
    repairs = constrain(program.coupling)
    assert not program.coupling.frozen.any()
    removed = np.zeros(program.coupling.count, dtype=bool)
    removed[[6, 10]] = True
    assert {a.name: int(v) for a, v in repairs.values(removed).items()} == {"groups": 1, "heads": 1}


def test_what_no_formula_describes_freezes_the_repaired_attribute() -> None:
    """A remainder of an attribute that another size would change: nothing may change it."""
    program = Program()
    groups = Attr("layer", "groups", (), 2)
    program.use(2, groups)
    fixed = (Value("fixed", (2,)), 0)
    program.coupling.graph.sizes.append(SizeUse(fixed, op("//", Const(5), groups), "View in net"))
    constrain(program.coupling)
    assert program.coupling.frozen[10:].all()
