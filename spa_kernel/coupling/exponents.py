"""Tables of exponents: what is known of the powers of a factor in the entries of a value."""

from __future__ import annotations

import numpy as np

from spa_kernel.graph.factors import Multiplied, Term
from spa_kernel.graph.ir import Value

UNIT = 2
"""Exponents are counted in halves: a square root of the factor is one."""

UNKNOWN = -128
"""An exponent that nothing is known of yet; in the end it is 0."""

LARGEST = 100
"""Exponents beyond this are not looked for."""

ROOM = 2**26
"""Entries of a table of exponents, at most."""

Exponents = np.ndarray
"""int8, in halves, one per entry of a value, or of size 1 along axes where all are the same."""


class Conflict(Exception):
    """The exponents contradict each other."""


def zeros(value: Value) -> Exponents:
    """No factor anywhere."""
    return np.zeros((1,) * value.ndim, dtype=np.int8)


def nonzero(exponents: Exponents) -> bool:
    """Whether an exponent is known not to be zero."""
    return bool(((exponents != 0) & (exponents != UNKNOWN)).any())


def small(array: np.ndarray) -> Exponents:
    """As a table, in which there is no room for large exponents."""
    if ((np.abs(array.astype(np.int16)) > LARGEST) & (array != UNKNOWN)).any():
        raise Conflict
    return array.astype(np.int8)


def full(exponents: Exponents, value: Value) -> Exponents:
    """One exponent per entry (a view)."""
    return np.broadcast_to(exponents, value.shape)


def unstretched(array: np.ndarray) -> np.ndarray:
    """Of size 1 along every axis along which an array is only a view of one entry."""
    if array.size == 1:
        return array
    return array[tuple(slice(None if step else 1) for step in array.strides)]


def narrow(array: np.ndarray) -> np.ndarray:
    """Of size 1 along every axis that makes no difference."""
    array = unstretched(array)
    for axis in range(array.ndim):
        if array.shape[axis] > 1:
            first = array.take([0], axis=axis)
            array = first if (array == first).all() else array
    return array


def uniform(array: Exponents, kept: set[int]) -> np.ndarray:
    """What is known along all axes but some, which get size 1."""
    if array.size == 1:
        return array
    axes = tuple(i for i in range(array.ndim) if i not in kept and array.shape[i] != 1)
    if not axes or 0 in array.shape:
        return array
    high = array.max(axis=axes, keepdims=True)
    low = np.where(array == UNKNOWN, 127, array).min(axis=axes, keepdims=True)
    if (np.where(high != UNKNOWN, high != low, False)).any():
        raise Conflict
    return high


def spread(
    array: np.ndarray, source: Value, out: Value, pairs: tuple[tuple[int, int], ...]
) -> Exponents:
    """An array over the paired axes of ``source``, as one over those of ``out``."""
    kept = sorted(pairs, key=lambda pair: pair[0])
    order = [i for _, i in kept] + [i for i in range(source.ndim) if i not in {j for _, j in kept}]
    sizes = {j: array.shape[i] for j, i in kept}
    return small(array.transpose(order).reshape([sizes.get(j, 1) for j in range(out.ndim)]))


def axis_names(relation: Multiplied) -> list[str]:
    """Names of all axes of a product."""
    return list(dict.fromkeys(name for term in relation.terms for name in term.axes))


def placed(known: Exponents, term: Term, names: list[str]) -> np.ndarray:
    """A term's exponents with its sign, one axis per name."""
    if term.shape != term.value.shape:
        known = full(known, term.value).reshape(term.shape)
    own = narrow(known.astype(np.int16)) * term.sign
    order = sorted(range(own.ndim), key=lambda i: names.index(term.axes[i]))
    sizes = dict(zip(term.axes, own.shape, strict=True))
    return own.transpose(order).reshape([sizes.get(name, 1) for name in names])
