"""Sizes as formulas in the labels, for programs that work sizes out from other sizes.

The number of indices that an axis keeps is a product of linear forms in the labels: one form
for a plain axis, one per factor for a merged one. A `Count` is a coefficient times powers of
such forms; attributes whose new value is not known yet are factors of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np

from spa_kernel.coupling.labels import tidy
from spa_kernel.coupling.result import Coupling
from spa_kernel.graph.ir import Axis
from spa_kernel.graph.sizes import Attr


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """``constant + sum(times[i] for labels[i] that stay)``."""

    constant: int
    labels: np.ndarray
    times: np.ndarray

    @property
    def key(self) -> bytes:
        return b"%d|" % self.constant + self.labels.tobytes() + b"|" + self.times.tobytes()

    def value(self, removed: np.ndarray) -> int:
        return self.constant + int(self.times[~removed[self.labels]].sum())


AttrName = tuple[str, str, tuple[int | str, ...]]
"""Module, name, and path to the number inside the attribute."""

Factor = bytes | AttrName
"""A form's key, or an attribute."""


@dataclass(frozen=True, slots=True)
class Count:
    """A coefficient times factors to integer powers."""

    coefficient: Fraction
    powers: dict[Factor, int] = field(default_factory=dict)

    def times(self, other: Count, sign: int = 1) -> Count:
        """The product, or for ``sign=-1`` the quotient."""
        powers = dict(self.powers)
        for factor, power in other.powers.items():
            powers[factor] = powers.get(factor, 0) + sign * power
            if powers[factor] == 0:
                del powers[factor]
        return Count(self.coefficient * other.coefficient**sign, powers)

    def power(self, exponent: int) -> Count:
        return Count(self.coefficient**exponent, {f: p * exponent for f, p in self.powers.items()})

    def sides(self) -> tuple[Count, Count]:
        """Numerator and denominator."""
        over = {f: p for f, p in self.powers.items() if p > 0}
        under = {f: -p for f, p in self.powers.items() if p < 0}
        whole = self.coefficient
        return Count(Fraction(whole.numerator), over), Count(Fraction(whole.denominator), under)

    @property
    def attributes(self) -> list[AttrName]:
        return [f for f in self.powers if isinstance(f, tuple)]


def constant(value: int) -> Count:
    """A number."""
    return Count(Fraction(value))


class Forms:
    """All linear forms met so far, by key, for the labels of one coupling."""

    def __init__(self, coupling: Coupling) -> None:
        self.coupling = coupling
        self.known: dict[Factor, Form] = {}
        self._counts: dict[bytes, tuple[np.ndarray, Count | None]] = {}
        self._keys: dict[int, tuple[np.ndarray, bytes]] = {}
        self._frozen = coupling.frozen.copy()

    def forget(self) -> None:
        """Call after labels were frozen: the counts of their axes are worked out anew."""
        new = self.coupling.frozen & ~self._frozen
        if new.any():
            self._frozen = self.coupling.frozen.copy()
            known = self._counts.items()
            self._counts = {key: entry for key, entry in known if not new[entry[0]].any()}

    def count(self, axis: Axis) -> Count | None:
        """How many indices an axis keeps; ``None`` where no formula describes it."""
        labels = self.coupling.axes.get(axis)
        if labels is None:
            return constant(axis[0].shape[axis[1]])
        # Most axes share one array; the array is kept, so that no other one gets its identity.
        _, key = self._keys.get(id(labels), (labels, b""))
        if not key:
            key = labels.shape[1].to_bytes(4, "little") + labels.tobytes()
            self._keys[id(labels)] = labels, key
        if key not in self._counts:
            self._counts[key] = labels, self._count(labels)
        return self._counts[key][1]

    def form(self, constant_part: int, labels: np.ndarray, times: np.ndarray) -> Count:
        """A linear form, with the common divisor taken out so that equal ones are found."""
        keep = times != 0
        labels, times = labels[keep], times[keep]
        if len(labels) == 0:
            return constant(constant_part)
        divisor = int(np.gcd.reduce(np.append(times, constant_part)))
        form = Form(constant_part // divisor, labels, times // divisor)
        self.known[form.key] = form
        return Count(Fraction(divisor), {form.key: 1})

    def _count(self, labels: np.ndarray) -> Count | None:
        frozen = self.coupling.frozen
        labels = tidy(labels, frozen[labels])
        if labels.shape[1] == 1:
            names, times = np.unique(labels[:, 0], return_counts=True)
            return self._linear(names, times)
        grid, times = np.unique(labels, axis=0, return_counts=True)
        factors = [np.unique(labels[:, j]) for j in range(labels.shape[1])]
        if len(grid) != np.prod([len(f) for f in factors]) or (times != times[0]).any():
            return None
        total = constant(int(times[0]))
        for names in factors:
            total = total.times(self._linear(names, np.ones(len(names), dtype=np.int64)))
        return total

    def _linear(self, names: np.ndarray, times: np.ndarray) -> Count:
        free = ~self.coupling.frozen[names]
        return self.form(int(times[~free].sum()), names[free], times[free])

    def add(self, a: Count, b: Count, sign: int) -> Count | None:
        """The sum (or difference) where it is linear, or both are multiples of one product."""
        if a.powers == b.powers:
            return Count(a.coefficient + sign * b.coefficient, a.powers)
        left, right = self.linear(a), self.linear(b)
        if left is None or right is None:
            return None
        names = np.concatenate([left[1], right[1]])
        times = np.concatenate([left[2], sign * right[2]])
        unique, where = np.unique(names, return_inverse=True)
        total = np.zeros(len(unique), dtype=np.int64)
        np.add.at(total, where, times)
        return self.form(left[0] + sign * right[0], unique, total)

    def linear(self, count: Count) -> tuple[int, np.ndarray, np.ndarray] | None:
        """Constant, labels and multiplicities of a count that is one form, in integers."""
        empty = np.empty(0, dtype=np.int64)
        if not count.powers:
            whole = count.coefficient
            return (int(whole), empty, empty) if whole.denominator == 1 else None
        (factor, power), *rest = count.powers.items()
        if rest or power != 1 or factor not in self.known or count.coefficient.denominator != 1:
            return None
        form, times = self.known[factor], int(count.coefficient)
        return form.constant * times, form.labels, form.times * times

    def value(self, count: Count, removed: np.ndarray) -> Fraction:
        """What a count is worth after a prune (no unknown attributes in it)."""
        total = count.coefficient
        for factor, power in count.powers.items():
            total *= Fraction(self.known[factor].value(removed)) ** power
        return total


@dataclass(eq=False, slots=True)
class Repairs:
    """New values of attributes, as formulas in the labels."""

    forms: Forms
    definitions: dict[AttrName, tuple[Attr, Count]] = field(default_factory=dict)

    def values(self, removed: np.ndarray) -> dict[Attr, Fraction]:
        """What each attribute must be after a prune."""
        return {a: self.forms.value(c, removed) for a, c in self.definitions.values()}
