"""Which axes keep the same fraction of their indices."""

from __future__ import annotations

import numpy as np

from spa_kernel.coupling.averages import proportion


def same(a: list[list[int]], b: list[list[int]]) -> bool:
    return proportion(np.array(a)) == proportion(np.array(b))


def test_order_and_repetition_do_not_matter() -> None:
    assert same([[1], [2], [3]], [[3], [1], [2]])
    assert same([[1], [2]], [[1], [2], [1], [2]])
    assert same([[1, 4], [2, 4]], [[4, 2], [4, 1]])


def test_different_counts_do() -> None:
    assert not same([[1], [2]], [[1], [2], [2]])
    assert not same([[1], [2]], [[1], [3]])
    assert not same([[1], [2]], [[1], [2], [3]])
    assert not same([[1, 4], [2, 4]], [[1, 1], [2, 2]])
