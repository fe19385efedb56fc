"""Latency of any choice of widths, from what parts of the network took at a few of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression, nnls

from spa_kernel.graph.ir import Axis, Node
from spa_kernel.graph.operators import OPERATORS
from spa_kernel.plan.axes import DistinctAxes
from spa_kernel.plan.terms import Terms


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """What was measured at one choice of widths.

    Attributes
    ----------
    removed : numpy.ndarray
        bool, one per label.
    parts : numpy.ndarray
        float64, seconds of each part of the network on its own.
    whole : float or None
        Seconds of the whole network, with what goes on between its operators.
    """

    removed: np.ndarray
    parts: np.ndarray
    whole: float | None = None


class LatencyTable:
    """Predicted seconds of one forward, as a `spa_kernel.plan.measure.Measure`.

    The work of a part is its FLOPs, or the elements that it makes where it has none. Its seconds
    at any work are read off between the samples, on straight lines that never fall as the work
    grows. What the parts take together is brought to what the network took as a whole:
    ``whole = factor * sum(parts) + rest``, with a factor and a rest of zero or more.

    Parameters
    ----------
    axes : DistinctAxes
    parts : sequence of sequence of Node
        The operators of each part; a part without any takes the same time at all widths.
    samples : sequence of Sample
        Two or more, of different widths; one of them with ``whole``.

    Attributes
    ----------
    base : float
        Predicted seconds of the network as it is.
    """

    name = "latency"

    def __init__(
        self, axes: DistinctAxes, parts: Sequence[Sequence[Node]], samples: Sequence[Sample]
    ) -> None:
        self.axes = axes
        products = [list(products_of(nodes)) for nodes in parts]
        self.terms = Terms(axes, [product for part in products for product in part])
        self.number = len(parts)
        self.owner = np.repeat(np.arange(self.number), [len(part) for part in products])
        work = np.array([self.work(axes.sizes(s.removed)) for s in samples]).T
        taken = np.array([s.parts for s in samples]).T
        order = np.argsort(work, axis=1, kind="stable")
        self.at = np.take_along_axis(work, order, axis=1)
        self.seconds = monotone(self.at, np.take_along_axis(taken, order, axis=1))
        rise, run = np.diff(self.seconds), np.diff(self.at)
        self.rates = np.divide(rise, run, out=np.zeros_like(rise), where=run > 0)
        timed = [s for s in samples if s.whole is not None]
        sums = [self._read(self.work(axes.sizes(s.removed)))[0].sum() for s in timed]
        (self.factor, self.rest), _ = nnls(
            np.array([[total, 1.0] for total in sums]), np.array([s.whole for s in timed])
        )
        self.base = self.count(np.zeros(axes.count, dtype=bool))

    def work(self, sizes: np.ndarray) -> np.ndarray:
        """float64, work of each part."""
        each = self.terms.each(sizes).astype(np.float64)
        return np.bincount(self.owner, each, minlength=self.number)

    def count(self, removed: np.ndarray) -> float:
        """Seconds after removing labels (bool mask)."""
        seconds, _ = self._read(self.work(self.axes.sizes(removed)))
        return float(self.factor * seconds.sum() + self.rest)

    def slope(self, removed: np.ndarray) -> np.ndarray:
        """First-order seconds of each label, see `Measure.slope`."""
        sizes = self.axes.sizes(removed)
        _, rates = self._read(self.work(sizes))
        per_axis = self.terms.slope(sizes, self.factor * rates[self.owner])
        return self.axes.weigh(removed, per_axis)

    def _read(self, work: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Seconds of each part at some work, and seconds per work there."""
        last = self.rates.shape[1] - 1
        stretch = np.clip((self.at < work[:, None]).sum(axis=1) - 1, 0, last)
        row = np.arange(self.number)
        rates = self.rates[row, stretch]
        seconds = self.seconds[row, stretch] + rates * (work - self.at[row, stretch])
        # Below the least work that was measured the first line goes on, but not below nothing.
        return np.maximum(seconds, 0.0), np.where(seconds > 0, rates, 0.0)


def monotone(work: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """The nearest seconds (least squares) that never fall along each row.

    Where the work of a row is the same all along, their median.
    """
    fitted = np.empty_like(seconds)
    for own, at, taken in zip(fitted, work, seconds, strict=True):
        own[:] = np.median(taken) if at[0] == at[-1] else isotonic_regression(taken).x
    return fitted


def products_of(nodes: Sequence[Node]) -> Iterator[tuple[int, list[Axis]]]:
    """The work of some operators, as products of a constant and sizes of axes."""
    for node in nodes:
        known = OPERATORS.get(node.op)
        if known is not None and known.flops is not None:
            constant, axes = known.flops(node)
            yield constant, list(axes)
        else:
            yield from ((1, [(v, a) for a in range(v.ndim)]) for v in node.outputs)
