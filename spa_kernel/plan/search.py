"""The smallest choice of units that reaches a target."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import numpy as np

from spa_kernel.plan.measure import Measure
from spa_kernel.plan.units import Units

# A choice this close above the target is good enough; otherwise the search goes on.
CLOSE = 1e-3
ROUNDS = 30
TRIES = 6


class Search:
    """Removes units until ``base / cost >= target``.

    Parameters
    ----------
    measure : Measure
    target : float
    units : Units
    order : numpy.ndarray
        int64, the units that may go, best first.
    labels : int
        How many labels there are.
    """

    def __init__(
        self, measure: Measure, target: float, units: Units, order: np.ndarray, labels: int
    ) -> None:
        self.measure, self.target, self.labels = measure, target, labels
        self.units, self.order = units, order
        self.base = measure.base
        self.budget = self.base / target
        self.turn = np.full(len(units), len(order), dtype=np.int64)
        self.turn[order] = np.arange(len(order))

    def after(self, chosen: np.ndarray) -> float:
        """Cost after removing the chosen units (bool mask over units)."""
        return self.measure.count(self.units.mark(chosen, self.labels))

    def slope(self, chosen: np.ndarray) -> np.ndarray:
        """First-order cost of each unit, see `Measure.slope`."""
        return self.units.sum(self.measure.slope(self.units.mark(chosen, self.labels)))

    def reached(self, cost: float) -> bool:
        return self.base >= self.target * cost

    def close(self, cost: float) -> bool:
        return self.budget - cost <= CLOSE * self.budget

    def run(self) -> np.ndarray:
        """Choose units; the target must be reachable.

        Returns
        -------
        numpy.ndarray
            bool (units,). Units go in order up to the one that would cross the target. If that
            one goes too far, it is skipped, and later, smaller units fill the gap.
        """
        best: tuple[float, np.ndarray] | None = None
        for chosen, crossing in self.approach():
            for candidate in self.closers(chosen, crossing):
                with_it = chosen.copy()
                with_it[candidate] = True
                cost = self.after(with_it)
                if self.reached(cost) and (best is None or cost > best[0]):
                    best = (cost, with_it)
                    if self.close(cost):
                        return with_it
        if best is None:
            best = (0, self.minimal_prefix())
        return best[1]

    def stop_short(self) -> np.ndarray:
        """Choose units that come as close to the target as they can without reaching it."""
        return deque(self.approach(), maxlen=1)[0][0]

    def approach(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Choices that come closer and closer without reaching the target.

        Yields
        ------
        chosen : numpy.ndarray
            bool (units,), the same array each time.
        crossing : numpy.ndarray
            int64, the next unit in order, which would reach the target; or empty.
        """
        chosen = np.zeros(len(self.units), dtype=bool)
        rest = self.order
        for _ in range(ROUNDS):
            taken = self.crossing(chosen, rest)
            chosen[rest[:taken]] = True
            yield chosen, rest[taken : taken + 1]
            gap = self.after(chosen) - self.budget
            rest = self.follow(self.order[~chosen[self.order]], self.slope(chosen) < gap)
            if not rest.size:
                break

    def crossing(self, chosen: np.ndarray, rest: np.ndarray) -> int:
        """How many units of ``rest`` can go, in order, with the target still not reached."""

        def short(n: int) -> bool:
            trial = chosen.copy()
            trial[rest[:n]] = True
            return not self.reached(self.after(trial))

        return largest(short, len(rest))

    def closers(self, chosen: np.ndarray, crossing: np.ndarray) -> list[int]:
        """Units that may reach the target from here: the crossing one, then the tightest."""
        slope = self.slope(chosen)
        gap = self.after(chosen) - self.budget
        left = self.follow(self.order[~chosen[self.order]], np.ones(len(slope), dtype=bool))
        if self.units.chained:
            # Only the next unit of a family may go.
            _, first = np.unique(self.units.family[left], return_index=True)
            left = left[np.sort(first)]
        enough = left[slope[left] >= gap]
        tight = enough[slope[enough] <= gap + CLOSE * self.budget][:TRIES]
        small = enough[np.argsort(slope[enough], kind="stable")][:TRIES]
        return list(dict.fromkeys([*crossing.tolist(), *tight.tolist(), *small.tolist()]))

    def follow(self, order: np.ndarray, keep: np.ndarray) -> np.ndarray:
        """The units of an order that are kept, without those whose predecessor is not."""
        kept: np.ndarray = order[keep[order]]
        if not self.units.chained:
            return kept
        stop = np.full(int(self.units.family.max(initial=0)) + 1, len(self.order))
        dropped = order[~keep[order]]
        np.minimum.at(stop, self.units.family[dropped], self.turn[dropped])
        kept = order[self.turn[order] < stop[self.units.family[order]]]
        return kept

    def minimal_prefix(self) -> np.ndarray:
        """The shortest beginning of the order that reaches the target."""
        chosen = np.zeros(len(self.units), dtype=bool)
        chosen[self.order[: self.crossing(chosen, self.order) + 1]] = True
        return chosen

    def put_back(self, chosen: np.ndarray) -> np.ndarray:
        """Put back units that the target does not need, the highest-scored first.

        A choice that stops short of the target comes no further away from it.
        """
        chosen = chosen.copy()
        now = self.after(chosen)
        most = self.budget if self.reached(now) else now
        needed = np.zeros(len(chosen), dtype=bool)
        while True:
            slack = most - self.after(chosen)
            gone = self.order[chosen[self.order]][::-1]
            if self.units.chained:
                # Only the last block of a family may come back.
                _, last = np.unique(self.units.family[gone], return_index=True)
                gone = gone[np.sort(last)]
            pool = gone[~needed[gone] & (self.slope(chosen)[gone] <= slack)]
            if not pool.size:
                return chosen
            back = self.fitting(chosen, pool, most)
            chosen[pool[:back]] = False
            # What does not fit now will not fit later either, with others back.
            needed[pool[back : back + 1]] = True

    def fitting(self, chosen: np.ndarray, pool: np.ndarray, most: float) -> int:
        """How many units of a pool can come back, in order, at no more than some cost."""

        def fits(n: int) -> bool:
            trial = chosen.copy()
            trial[pool[:n]] = False
            cost = self.after(trial)
            return cost <= most if most > self.budget else self.reached(cost)

        return largest(fits, len(pool))


def largest(holds: Callable[[int], bool], most: int) -> int:
    """The largest n up to ``most`` for which a falling condition holds; it holds for 0."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
