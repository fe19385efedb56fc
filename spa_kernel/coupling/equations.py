"""Make the sizes that a program works out agree with the sizes that pruning leaves.

Each size use is an equation "this axis keeps as many indices as that expression says". An
attribute that stands in one is repaired: the equation defines its new value. What is left
must hold by itself, becomes a constraint on counts, or freezes labels until it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import lcm

import numpy as np

from spa_kernel.coupling.counts import Count, Forms, Repairs, constant
from spa_kernel.coupling.result import Constraint, Coupling
from spa_kernel.graph.sizes import Attr, Const, Dim, Expr, SizeUse


class Equations:
    """Works through all size uses until every one of them holds for every allowed prune."""

    def __init__(self, coupling: Coupling) -> None:
        self.coupling = coupling
        self.forms = Forms(coupling)
        self.repairs = Repairs(self.forms)

    def solve(self) -> None:
        """Define attributes, then collect constraints; start again whenever labels freeze."""
        while True:
            self.forms.forget()
            self.repairs.definitions.clear()
            self.coupling.constraints.clear()
            self._define()
            if self._constrain():
                return

    def _define(self) -> None:
        """First attributes that stand alone, then in longer formulas, then in comparisons."""
        graph = self.coupling.graph
        known = [(self.forms.count(use.axis), use.expr) for use in graph.sizes]
        for count, expr in known:
            if isinstance(expr, Attr):
                self._define_by(count, expr)
        before = -1
        while len(self.repairs.definitions) > before:
            before = len(self.repairs.definitions)
            for count, expr in known:
                if not isinstance(expr, Const | Dim | Attr):
                    self._define_by(count, expr)
            for one, other in graph.equals:
                self._define_by(self.evaluate(one), other)
                self._define_by(self.evaluate(other), one)

    def _define_by(self, left: Count | None, expr: Expr) -> None:
        """Solve ``left = expr`` for the one attribute in it that nothing has defined yet."""
        right = self.evaluate(expr)
        if left is None or right is None:
            return
        ratio = left.times(right, -1)
        unknown = ratio.attributes
        found = [a for a in attributes(expr) if [name_of(a)] == unknown]
        if found and abs(ratio.powers[unknown[0]]) == 1:
            # left / (rest * attr**p) = 1, so attr = (left / rest) ** (1 / p).
            power = ratio.powers[unknown[0]]
            rest = Count(
                ratio.coefficient, {f: p for f, p in ratio.powers.items() if f != unknown[0]}
            )
            self.repairs.definitions[unknown[0]] = found[0], rest.power(-power)

    def _constrain(self) -> bool:
        """Every equation holds, becomes a constraint, or makes us freeze and start again."""
        unclear: list[SizeUse] = []
        for use in self.coupling.graph.sizes:
            left, right = self.forms.count(use.axis), self.evaluate(use.expr, final=True)
            if left is None or right is None:
                unclear.append(use)
            elif left != right:
                scale = constant(lcm(left.coefficient.denominator, right.coefficient.denominator))
                a, b = self.forms.linear(left.times(scale)), self.forms.linear(right.times(scale))
                if a is None or b is None:
                    self._freeze_smallest(left, right, use)
                    return False
                if not self._tie(a, b, use):
                    return False
        # What no formula describes comes last: other freezes may have made it plain.
        return not any(self._simplify(use) for use in unclear)

    def _tie(
        self,
        a: tuple[int, np.ndarray, np.ndarray],
        b: tuple[int, np.ndarray, np.ndarray],
        use: SizeUse,
    ) -> bool:
        """Both sides lose equally much; False if that can only mean nothing at all."""
        labels, where = np.unique(np.concatenate([a[1], b[1]]), return_inverse=True)
        times = np.zeros(len(labels), dtype=np.int64)
        np.add.at(times, where, np.concatenate([a[2], -b[2]]))
        labels, times = labels[times != 0], times[times != 0]
        if len(labels) == 0:
            return True
        if (times > 0).all() or (times < 0).all():
            self._freeze(labels, use)
            return False
        times = times // np.gcd.reduce(times) * np.sign(times[0])
        for known in self.coupling.constraints:
            if np.array_equal(known.labels, labels) and np.array_equal(known.coefficients, times):
                return True
        self.coupling.constraints.append(Constraint(labels, times, use.where))
        return True

    def evaluate(self, expr: Expr, final: bool = False) -> Count | None:
        """An expression as a count; ``final``: attributes that nothing defined stay as they are."""
        match expr:
            case Const():
                return constant(expr.value)
            case Dim():
                return self.forms.count(expr.axis)
            case Attr():
                known = self.repairs.definitions.get(name_of(expr))
                if known is not None:
                    return known[1]
                if final:
                    return constant(expr.value)
                return Count(constant(1).coefficient, {name_of(expr): 1})
        left, right = self.evaluate(expr.left, final), self.evaluate(expr.right, final)
        if left is None or right is None:
            return None
        match expr.symbol:
            case "*":
                return left.times(right)
            case "+" | "-":
                return self.forms.add(left, right, 1 if expr.symbol == "+" else -1)
            case _:
                # Divisions that leave no remainder now must leave none after a prune.
                exact = expr.left.value == expr.value * expr.right.value
                return left.times(right, -1) if exact else None

    def _simplify(self, use: SizeUse) -> bool:
        """Give up labels of the axes behind a size until a formula describes them.

        The labels that take most indices with them go first: they are worth least as choices.
        """
        axes = [use.axis, *(leaf.axis for leaf in leaf_axes(use.expr))]
        irregular = [a for a in axes if self.forms.count(a) is None]
        for axis in irregular or axes:
            labels = self.coupling.axes.get(axis)
            if labels is not None:
                names, times = np.unique(labels[~self.coupling.frozen[labels]], return_counts=True)
                if len(names):
                    return self._freeze(names[times == times.max()], use)
        return False

    def _freeze_smallest(self, left: Count, right: Count, use: SizeUse) -> None:
        """Of several factors, give up the one with the fewest channels."""
        ratio = left.times(right, -1)
        forms = [self.forms.known[f] for f in ratio.powers if not isinstance(f, tuple)]
        smallest = min(forms, key=lambda form: len(form.labels))
        self._freeze(smallest.labels, use)

    def _freeze(self, labels: np.ndarray, use: SizeUse) -> bool:
        new = labels[~self.coupling.frozen[labels]]
        reason = f"the size is worked out in a way that allows no other: {use.where}"
        if isinstance(use.expr, Const):
            reason = f"the size {use.expr.value} is written in the code: {use.where}"
        self.coupling.frozen[new] = True
        self.coupling.reasons.update(dict.fromkeys(new.tolist(), reason))
        return len(new) > 0


def name_of(attr: Attr) -> tuple[str, str, int | None]:
    """What tells attributes apart."""
    return attr.owner, attr.name, attr.index


def attributes(expr: Expr) -> Iterator[Attr]:
    """All attributes in an expression."""
    if isinstance(expr, Attr):
        yield expr
    elif not isinstance(expr, Const | Dim):
        yield from attributes(expr.left)
        yield from attributes(expr.right)


def leaf_axes(expr: Expr) -> Iterator[Dim]:
    """All sizes read from tensors in an expression."""
    if isinstance(expr, Dim):
        yield expr
    elif not isinstance(expr, Const | Attr):
        yield from leaf_axes(expr.left)
        yield from leaf_axes(expr.right)


def constrain(coupling: Coupling) -> Repairs:
    """Add count constraints to a coupling and freeze what cannot follow; the repairs to make."""
    equations = Equations(coupling)
    equations.solve()
    return equations.repairs
