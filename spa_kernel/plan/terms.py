"""Sums of products of axis sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix

from spa_kernel.graph.ir import Axis
from spa_kernel.plan.axes import DistinctAxes


class Terms:
    """A sum of products of axis sizes.

    Parameters
    ----------
    axes : DistinctAxes
    products : iterable of (int, list of Axis)
        Constant and axes of each product.
    """

    def __init__(self, axes: DistinctAxes, products: Iterable[tuple[int, Iterable[Axis]]]) -> None:
        rows: list[tuple[int, ...]] = []
        constants: list[int] = []
        for constant, factors in products:
            row: list[int] = []
            for value, axis in factors:
                number = axes.number.get((value, axis))
                if number is None:
                    constant *= value.shape[axis]
                else:
                    row.append(number)
            rows.append(tuple(sorted(row)))
            constants.append(int(constant))
        width = max(map(len, rows), default=0)
        # One distinct axis more, of size 1, fills up the shorter products.
        fill = len(axes.lengths)
        self.factors = np.array(
            [row + (fill,) * (width - len(row)) for row in rows], dtype=np.int64
        ).reshape(len(rows), width)
        full = [*axes.lengths.tolist(), 1]
        largest = sum(
            c * math.prod(full[f] for f in row) for c, row in zip(constants, rows, strict=True)
        )
        # Python integers where the sum would not fit: slow, but right.
        self.dtype = np.dtype(np.int64) if largest < 2**62 else np.dtype(object)
        self.constants = np.array(constants, dtype=self.dtype)

    def each(self, sizes: np.ndarray) -> np.ndarray:
        """Every product, for the sizes of the distinct axes."""
        total = self.constants.copy()
        padded = np.append(sizes, 1).astype(self.dtype)
        for column in self.factors.T:
            total = total * padded[column]
        return total

    def slope(self, sizes: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
        """float64 derivative of the (weighted) sum by the size of each distinct axis."""
        slope = np.zeros(len(sizes) + 1)
        for axis, derivative in self._derivatives(sizes):
            slope += np.bincount(axis, derivative * weights, minlength=len(slope))
        return slope[:-1]

    def slopes(self, sizes: np.ndarray) -> csr_matrix:
        """float64 (products, axes): derivative of each product by the size of each axis."""
        parts = list(self._derivatives(sizes))
        shape = (len(self.constants), len(sizes) + 1)
        if not parts:
            return csr_matrix(shape)[:, :-1]
        axes, values = (np.concatenate(each) for each in zip(*parts, strict=True))
        rows = np.tile(np.arange(len(self.constants)), len(parts))
        return coo_matrix((values, (rows, axes)), shape=shape).tocsr()[:, :-1]

    def _derivatives(self, sizes: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """For each place in a product: the axis that stands there, and the derivative by it."""
        padded = np.append(sizes, 1).astype(np.float64)
        for own, column in enumerate(self.factors.T):
            product = self.constants.astype(np.float64)
            for other, factor in enumerate(self.factors.T):
                if other != own:
                    product = product * padded[factor]
            yield column, product
