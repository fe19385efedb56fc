"""Sizes as formulas: what a formula foretells is what is left."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from spa_kernel.coupling.counts import Count, Forms, constant
from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Axis, Graph, Value

COUNT = 7


def coupling(frozen: list[bool], *axes: np.ndarray) -> tuple[Coupling, list[Axis]]:
    values = [(Value(f"v{i}", (len(a),), "parameter"), 0) for i, a in enumerate(axes)]
    graph = Graph()
    found = dict(zip(values, axes, strict=True))
    return Coupling(graph, found, COUNT, np.array(frozen), {}), values


LABELS = st.integers(0, COUNT - 1)
FROZEN = st.lists(st.booleans(), min_size=COUNT, max_size=COUNT)


@st.composite
def axis(draw: st.DrawFn) -> np.ndarray:
    """Plain, repeated, or a grid of two plain ones (one label each, all different)."""
    if draw(st.booleans()):
        return np.array(draw(st.lists(LABELS, min_size=1, max_size=8)))[:, None]
    order = draw(st.permutations(range(COUNT)))
    cut, stop = draw(st.integers(1, 3)), draw(st.integers(4, COUNT))
    h, w = np.array(order[:cut]), np.array(order[cut:stop])
    return np.stack([np.repeat(h, len(w)), np.tile(w, len(h))], axis=1)


@given(axis(), FROZEN, FROZEN)
def test_a_count_is_the_number_of_indices_that_stay(
    labels: np.ndarray, frozen: list[bool], gone: list[bool]
) -> None:
    known, (where,) = coupling(frozen, labels)
    removed = np.array(gone) & ~known.frozen
    forms = Forms(known)
    count = forms.count(where)
    if labels.shape[1] == 1:
        assert count is not None, "a plain axis always has a formula"
    if count is not None:
        assert forms.value(count, removed) == known.size(where, removed)


@given(axis(), axis(), FROZEN, FROZEN, st.sampled_from([1, -1]))
def test_sums_products_and_quotients(
    left: np.ndarray, right: np.ndarray, frozen: list[bool], gone: list[bool], sign: int
) -> None:
    known, (one, other) = coupling(frozen, left, right)
    removed = np.array(gone) & ~known.frozen
    forms = Forms(known)
    a, b = forms.count(one), forms.count(other)
    if a is None or b is None:
        return
    x, y = known.size(one, removed), known.size(other, removed)
    if y or sign == 1:
        assert forms.value(a.times(b, sign), removed) == Fraction(x) * Fraction(y) ** sign
    total = forms.add(a, b, sign)
    if total is not None:
        assert forms.value(total, removed) == x + sign * y
    if y:
        assert forms.value(b.power(2), removed) == y * y


@given(st.lists(LABELS, min_size=1, max_size=6), st.integers(1, 4), FROZEN)
def test_multiples_of_one_axis_have_one_form(
    labels: list[int], times: int, frozen: list[bool]
) -> None:
    """An axis repeated as a whole differs from it by a number only."""
    plain = np.array(labels)[:, None]
    known, (one, many) = coupling(frozen, plain, np.tile(plain, (times, 1)))
    forms = Forms(known)
    a, b = forms.count(one), forms.count(many)
    assert a is not None
    assert b is not None
    assert b == a.times(constant(times))


def test_attributes_stay_unknown_until_they_are_divided_away() -> None:
    heads = ("block", "heads", None)
    count = Count(Fraction(3), {heads: 1, b"form": 2})
    assert count.attributes == [heads]
    rest = count.times(Count(Fraction(3, 2), {heads: 1}), -1)
    assert rest == Count(Fraction(2), {b"form": 2})
    assert rest.attributes == []


def test_no_formula_for_an_irregular_axis() -> None:
    labels = np.array([[0, 1], [0, 2], [3, 1]])
    known, (where,) = coupling([False] * COUNT, labels)
    assert Forms(known).count(where) is None
