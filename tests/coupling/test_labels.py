"""The label store against a brute-force model of what it promises.

The promise: whatever may go by the labels satisfies every equation that was required. (It may
forbid more than the equations do, never less.)
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_kernel.coupling.labels import (
    FREE,
    Labels,
    classes_after,
    distinct_in_rows,
    pattern,
    tidy,
)

COUNT = 8


def rows(columns: int) -> st.SearchStrategy[list[list[int]]]:
    row = st.lists(st.integers(0, COUNT - 1), min_size=columns, max_size=columns)
    return st.lists(row, min_size=1, max_size=6)


@st.composite
def equations(draw: st.DrawFn) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Requirements: two axes of one length and any widths are equal; or an axis never goes."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        a = np.array(draw(rows(draw(st.integers(1, 3)))))
        if draw(st.integers(0, 4)) == 0:
            found.append(("freeze", a, a))
            continue
        width = draw(st.integers(1, 3))
        numbers = st.integers(0, COUNT - 1)
        b = draw(st.lists(numbers, min_size=width * len(a), max_size=width * len(a)))
        found.append(("equal", a, np.array(b).reshape(len(a), width)))
    return found


def removals(labels: Labels, axes: np.ndarray) -> Iterator[np.ndarray]:
    """Per allowed choice of labels: which of the first ``COUNT`` original indices go."""
    resolved = [labels.resolve(axes[i : i + 1]) for i in range(len(axes))]
    names = np.unique(np.concatenate([r.ravel() for r in resolved]))
    free = [int(n) for n in names if labels.reason(np.array(n)) == FREE]
    for choice in itertools.product([False, True], repeat=len(free)):
        gone = {n for n, on in zip(free, choice, strict=True) if on}
        yield np.array([any(int(n) in gone for n in r.ravel()) for r in resolved])


def build(required: list[tuple[str, np.ndarray, np.ndarray]]) -> tuple[Labels, np.ndarray]:
    labels = Labels()
    axes = labels.fresh(COUNT)
    for number, (kind, a, b) in enumerate(required):
        if kind == "equal":
            labels.require_equal(a, b, number)
        else:
            labels.freeze(a, number)
    return labels, axes


@given(equations())
@settings(max_examples=300)
def test_whatever_may_go_satisfies_every_equation(
    required: list[tuple[str, np.ndarray, np.ndarray]],
) -> None:
    labels, axes = build(required)
    for goes in removals(labels, axes):
        for kind, a, b in required:
            left, right = goes[a].any(axis=1), goes[b].any(axis=1)
            if kind == "freeze":
                assert not left.any(), "something frozen goes"
            else:
                assert (left == right).all(), "one side goes without the other"


def test_a_freeze_in_one_row_reaches_the_others() -> None:
    """1 never goes, so 0 does not (second row), so 2 does not (first row)."""
    labels = Labels()
    axes = labels.fresh(3)
    labels.freeze(axes[1:2], 0)
    labels.require_equal(np.array([[0, 2], [0, 0]]), np.array([[0], [1]]), 1)
    assert (labels.reason(labels.find(axes)) != FREE).all()


def test_a_label_for_the_whole_axis_freezes_what_it_would_define() -> None:
    """Both 1 and 2 go exactly when 0 or 3 does: all at once would empty the axis."""
    labels = Labels()
    axes = labels.fresh(4)
    labels.require_equal(np.array([[0, 3], [0, 3]]), np.array([[1], [2]]), 0)
    roots = [labels.resolve(axes[i : i + 1]) for i in range(4)]
    frozen = [bool((labels.reason(r) != FREE).all()) for r in roots]
    assert len(set(frozen)) == 1


@given(equations())
def test_order_of_reading_changes_nothing(
    required: list[tuple[str, np.ndarray, np.ndarray]],
) -> None:
    """Resolving in between (which shortens paths) leaves the same labels."""
    labels, axes = build(required)
    other = Labels()
    fresh = other.fresh(COUNT)
    for number, (kind, a, b) in enumerate(required):
        for i in range(COUNT):
            other.resolve(fresh[i : i + 1])
        if kind == "equal":
            other.require_equal(a, b, number)
        else:
            other.freeze(a, number)
    for i in range(COUNT):
        one, two = labels.resolve(axes[i : i + 1]), other.resolve(fresh[i : i + 1])
        assert np.array_equal(one, two)
        assert np.array_equal(labels.reason(one), other.reason(two))


@given(st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30))
def test_merge_is_union_find(pairs: list[tuple[int, int]]) -> None:
    labels = Labels()
    axes = labels.fresh(20)
    parent = list(range(20))

    def find(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    if pairs:
        a, b = np.array(pairs).T
        labels.merge(a, b)
    for i, j in pairs:
        parent[max(find(i), find(j))] = min(find(i), find(j))
    roots = labels.find(axes[:, 0])
    assert [find(i) for i in range(20)] == roots.tolist()


@given(st.integers(2, 4), st.integers(2, 4))
def test_rows_and_columns_of_a_grid(height: int, width: int) -> None:
    """A grid's index goes with its row or with its column; two grids share both choices."""
    labels = Labels()
    h, w = labels.fresh(height), labels.fresh(width)
    grid = np.concatenate([np.repeat(h, width, axis=0), np.tile(w, (height, 1))], axis=1)
    flat = labels.fresh(height * width)
    labels.require_equal(flat, grid, 0)
    assert np.array_equal(np.sort(labels.resolve(flat), axis=1), np.sort(grid, axis=1))
    # The same grid once more, with labels of its own: they become the first grid's.
    h2, w2 = labels.fresh(height), labels.fresh(width)
    again = np.concatenate([np.repeat(h2, width, axis=0), np.tile(w2, (height, 1))], axis=1)
    labels.require_equal(flat, again, 0)
    assert np.array_equal(labels.find(h2), labels.find(h))
    assert np.array_equal(labels.find(w2), labels.find(w))
    assert (labels.reason(labels.find(h)) == FREE).all()


def test_freezing_a_defined_label_freezes_its_definition() -> None:
    labels = Labels()
    x, pair = labels.fresh(1), labels.fresh(2)
    labels.define(x, pair.T)
    labels.freeze(x, 4)
    assert labels.reason(pair[:, 0]).tolist() == [4, 4]


def test_the_earliest_reason_stays() -> None:
    labels = Labels()
    x = labels.fresh(2)
    labels.freeze(x[:1], 5)
    labels.freeze(x[:1], 9)
    labels.merge(x[:1], x[1:])
    assert labels.reason(labels.find(x)).tolist() == [[5], [5]]
    labels.freeze(x[1:], 2)
    assert labels.reason(labels.find(x)).tolist() == [[2], [2]]


def test_labels_grow_without_losing_anything() -> None:
    labels = Labels()
    first = labels.fresh(3)
    labels.freeze(first[1:2], 0)
    labels.define(first[2:], first[:1])
    for size in (1000, 5000, 20000):
        more = labels.fresh(size)
        labels.merge(more[:1, 0], first[0])
        assert labels.find(more[0])[0] == first[0, 0]
        assert len(np.unique(labels.find(more[:, 0]))) == size
    assert labels.resolve(first[2:]).tolist() == [[0]]
    assert labels.reason(first[:, 0]).tolist()[:2] == [FREE, 0]


@given(rows(3), st.lists(st.booleans(), min_size=COUNT, max_size=COUNT))
def test_tidy_keeps_the_meaning(axis: list[list[int]], frozen: list[bool]) -> None:
    labels, stuck = np.array(axis), np.array(frozen)
    short = tidy(labels, stuck[labels])
    assert short.shape[1] <= labels.shape[1]
    for full, kept in zip(labels, short, strict=True):
        free = {int(n) for n in full if not stuck[n]}
        assert {int(n) for n in kept if not stuck[n]} == free


@given(st.lists(st.integers(0, 5), min_size=1, max_size=8), st.permutations(range(6)))
def test_pattern_forgets_names(column: list[int], names: list[int]) -> None:
    renamed = np.array(names)[np.array(column)]
    assert np.array_equal(pattern(np.array(column)), pattern(renamed))
    same = pattern(renamed)[:, None] == pattern(renamed)[None, :]
    assert np.array_equal(same, renamed[:, None] == renamed[None, :])


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(5, 9)), min_size=1, max_size=8))
def test_classes_after_a_merger(pairs: list[tuple[int, int]]) -> None:
    a, b = np.array(pairs).T
    labels = Labels()
    labels.fresh(10)
    labels.merge(a, b)
    assert classes_after(a, b) == len(np.unique(labels.find(a)))


def test_distinct_in_rows() -> None:
    found = distinct_in_rows(np.array([[3, 1, 3, 2], [5, 5, 5, 5], [7, 7, 4, 7]]))
    assert found.tolist() == [[3, 1, 2], [5, 5, 5], [7, 4, 4]]


def test_long_chain_of_definitions() -> None:
    """Each label is defined by the next one and one of its own: nothing is followed twice."""
    labels = Labels()
    names = labels.fresh(400)
    own = labels.fresh(400)
    for i in range(399):
        labels.define(names[i : i + 1], np.concatenate([names[i + 1], own[i]])[None])
    assert set(labels.resolve(names[:1])[0]) == {*own[:399, 0], names[399, 0]}
    labels.freeze(own[100:], 0)
    assert set(labels.resolve(names[:1])[0]) == {*own[:100, 0], names[399, 0]}
    assert labels.resolve(names[200:201]).tolist() == [[names[399, 0]]]
