import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from spa_kernel.plan.moves import primitive_moves, smallest_move

MATRICES = st.tuples(st.integers(1, 3), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-3, 3))
)


def solutions(matrix: np.ndarray, most: int) -> list[np.ndarray]:
    every = itertools.product(range(most + 1), repeat=matrix.shape[1])
    return [np.array(r) for r in every if not (matrix @ np.array(r)).any() and any(r)]


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_the_smallest_move_is_the_smallest(matrix: np.ndarray) -> None:
    classes = matrix.shape[1]
    every = solutions(matrix, 4)
    at_most = np.full(classes, 4)
    for c in range(classes):
        at_least = np.eye(classes, dtype=np.int64)[c]
        found = smallest_move(matrix, at_least, at_most)
        sizes = [r.sum() for r in every if r[c]]
        assert bool(found.size) == bool(sizes)
        if sizes:
            assert found.sum() == min(sizes) and not (matrix @ found).any() and found[c]


@settings(max_examples=60, deadline=None)
@given(MATRICES)
def test_moves_are_primitive_and_reach_every_class_that_can_go(matrix: np.ndarray) -> None:
    classes = matrix.shape[1]
    every = solutions(matrix, 4)
    wanted = np.ones(classes, dtype=bool)
    moves = primitive_moves(matrix, np.full(classes, 4), wanted)
    for move in moves:
        smaller = [r for r in every if (r <= move).all() and (r < move).any()]
        assert not (matrix @ move).any() and not smaller
    reached = {int(c) for r in every for c in np.flatnonzero(r)}
    assert {int(c) for move in moves for c in np.flatnonzero(move)} == reached


def test_halves_and_quarters() -> None:
    matrix = np.array([[1, 1, -1, -1]])
    moves = primitive_moves(matrix, np.full(4, 8), np.ones(4, dtype=bool))
    pairs = {tuple(np.flatnonzero(m)) for m in moves}
    assert pairs == {(0, 2), (0, 3), (1, 2), (1, 3)}


def test_one_head_dimension_of_each_head() -> None:
    heads = 12
    matrix = np.hstack([np.ones((heads, 1), dtype=np.int64), -heads * np.eye(heads, dtype=int)])
    (move,) = primitive_moves(matrix, np.array([768] + [64] * heads), np.ones(13, dtype=bool))
    assert move.tolist() == [12] + [1] * heads
