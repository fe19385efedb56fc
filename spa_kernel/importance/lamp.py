"""Magnitude, seen from the layer that it stands in."""

import numpy as np

from spa_kernel.importance.registry import Context, criterion

LARGE = 2**15
"""Tensors of more elements are not sorted as a whole."""
TOLERANCE = 1e-3
BITS, OCTAVES = 12, 20
"""Steps per factor of two, as a power of two, and factors of two below the largest element."""


@criterion("lamp")
def lamp(context: Context, name: str, array: np.ndarray) -> np.ndarray:
    """Square of each weight over the sum of all squares of its tensor that are not smaller.

    Notes
    -----
    ``S(w_u) = w_u ** 2 / sum(w_v ** 2 for |w_v| >= |w_u|)``, over one parameter: the
    layer-adaptive magnitude of Lee et al. (arXiv 2010.07611), between 0 and 1. The order within
    a tensor is that of the magnitude, but scores of different tensors can be compared.

    Needs weights only. Tensors of more than 32768 elements are sorted only where it matters: a
    score may be too small there, by less than one part in a thousand; the order stays.
    """
    sizes = np.abs(array).ravel()
    largest = sizes.max(initial=0)
    if not 0 < largest < np.inf:
        # All zeros; or no numbers, which whoever asked for scores refuses.
        return sizes.reshape(array.shape)
    # The scale does not matter, and squares of very small weights stay numbers.
    sizes /= largest
    squares = np.square(sizes)
    sums = in_steps(sizes, squares) if len(sizes) > LARGE else not_smaller(sizes, squares)
    squares /= sums
    return squares.reshape(array.shape)


def not_smaller(sizes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """For each element the sum of the squares of all that are not smaller, float64."""
    order = np.argsort(sizes)
    # Equal ones share the sum of the first of them.
    fresh = np.diff(sizes[order], prepend=-1) > 0
    first = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
    sums = np.empty(len(order))
    sums[order] = from_behind(squares[order])[first]
    return sums


def in_steps(sizes: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """What `not_smaller` finds or up to 0.1 % more, for sizes from 0 to 1.

    Sizes of one step of a logarithmic scale count as equal, but where that would change the sum
    they are sorted.
    """
    # The first bits of a floating point number are such a scale.
    step = sizes.astype(np.float32, copy=False).view(np.int32) >> (23 - BITS)
    step -= (int(np.float32(1).view(np.int32)) >> (23 - BITS)) - (OCTAVES << BITS)
    np.maximum(step, 0, out=step)
    mass = np.bincount(step, squares)
    together = from_behind(mass)
    coarse = mass > TOLERANCE * together
    sums = together[step]
    some = np.flatnonzero(coarse[step])
    behind = from_behind(np.where(coarse, 0, mass))[step[some]]
    sums[some] = not_smaller(sizes[some], squares[some]) + behind
    return sums


def from_behind(values: np.ndarray) -> np.ndarray:
    """Sum of each element and all after it."""
    sums: np.ndarray = np.cumsum(values[::-1], dtype=np.float64)[::-1]
    return sums
