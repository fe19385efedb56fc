"""Make the sizes that a program works out agree with the sizes that pruning leaves.

Each size use is an equation "this axis keeps as many indices as that expression says". An
attribute that stands in one is repaired: the equation defines its new value. What is left
must hold by itself, becomes a constraint on counts, or freezes labels until it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from spa_kernel.coupling.counts import AttrName, Count, Factor, Forms, Repairs, constant
from spa_kernel.coupling.result import Constraint, Coupling
from spa_kernel.graph.sizes import Attr, Const, Dim, Expr, SizeUse


class Equations:
    """Works through all size uses until every one of them holds for every allowed prune."""

    def __init__(self, coupling: Coupling) -> None:
        self.coupling = coupling
        self.forms = Forms(coupling)
        # An empty axis has nothing to lose.
        self.uses = [known(u) for u in coupling.graph.sizes if u.axis[0].shape[u.axis[1]]]
        self.repairs = Repairs(self.forms)
        self._equal: dict[Factor, Factor] = {}
        self._tied: set[bytes] = set()
        self._new = np.zeros(coupling.count, dtype=bool)
        """Labels that were frozen in this round."""

    def solve(self) -> None:
        """Define attributes, then collect constraints; start again whenever labels freeze."""
        while True:
            self.forms.forget()
            self.repairs.definitions.clear()
            self._equal.clear()
            self._tied.clear()
            self._new[:] = False
            self.coupling.constraints.clear()
            self._define()
            if self._constrain():
                return

    def _define(self) -> None:
        """First attributes that stand alone, then in longer formulas, then in comparisons."""
        graph = self.coupling.graph
        known = [(self.forms.count(use.axis), use.expr) for use in self.uses]
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
        if left is None or 0 in (expr.value, left.coefficient):
            return
        if right is None:
            self._define_inside(left, expr)
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

    def _define_inside(self, whole: Count, expr: Expr) -> None:
        """Solve ``whole = expr`` for the side of ``expr`` that is not known, as of a sum."""
        if isinstance(expr, Const | Attr | Dim):
            return
        left, right = self.evaluate(expr.left), self.evaluate(expr.right)
        exact = expr.left.value == expr.value * expr.right.value
        if right is not None and not right.attributes:
            match expr.symbol:
                case "+" | "-":
                    sign = -1 if expr.symbol == "+" else 1
                    self._define_by(self.forms.add(whole, right, sign), expr.left)
                case "*":
                    self._define_by(whole.times(right, -1), expr.left)
                case _ if exact:
                    self._define_by(whole.times(right), expr.left)
        elif left is not None and not left.attributes:
            match expr.symbol:
                case "+":
                    self._define_by(self.forms.add(whole, left, -1), expr.right)
                case "-":
                    self._define_by(self.forms.add(left, whole, -1), expr.right)
                case "*":
                    self._define_by(whole.times(left, -1), expr.right)
                case _ if exact:
                    self._define_by(left.times(whole, -1), expr.right)

    def _constrain(self) -> bool:
        """Every equation holds, becomes a constraint, or makes us freeze and start again.

        What has nothing to do with the labels that were frozen is settled in the same round.
        """
        unclear: list[SizeUse] = []
        products: list[SizeUse] = []
        for use in self.uses:
            sides = self._sides(use)
            if sides is None:
                unclear.append(use)
            elif sides[0] != sides[1] and not self._concerned(sides):
                a, b = self.forms.linear(sides[0]), self.forms.linear(sides[1])
                if a is None or b is None:
                    products.append(use)
                elif self._tie(a, b, use):
                    self._identify(*sides)
        # Products may be equal by what has been tied meanwhile.
        for use in products:
            sides = self._sides(use)
            assert sides is not None
            if sides[0] != sides[1] and not self._concerned(sides):
                a, b = self.forms.linear(sides[0]), self.forms.linear(sides[1])
                if a is None or b is None:
                    self._freeze_smallest(*sides, use)
                elif self._tie(a, b, use):
                    self._identify(*sides)
        # What no formula describes comes last: other freezes may have made it plain.
        if not self._new.any():
            for use in unclear:
                self._simplify(use)
        return not self._new.any()

    def _concerned(self, sides: tuple[Count, Count]) -> bool:
        """Whether a label in an equation was frozen in this round: it will read otherwise."""
        forms = [self.forms.known.get(f) for side in sides for f in side.powers]
        return any(self._new[form.labels].any() for form in forms if form is not None)

    def _sides(self, use: SizeUse) -> tuple[Count, Count] | None:
        """The two sides of an equation without the factors that both share (none is zero)."""
        left, right = self.forms.count(use.axis), self.evaluate(use.expr, final=True)
        if left is None or right is None:
            return None
        return self._with_ties(left).times(self._with_ties(right), -1).sides()

    def _with_ties(self, count: Count) -> Count:
        """A count with one name for factors that were found to be always equal."""
        found = constant(1)
        for factor, power in count.powers.items():
            while factor in self._equal:
                factor = self._equal[factor]
            found = found.times(Count(found.coefficient, {factor: power}))
        return Count(count.coefficient, found.powers)

    def _identify(self, left: Count, right: Count) -> None:
        """Note that two factors are equal from now on, where an equation just says that."""
        if left.coefficient == right.coefficient and len(left.powers) == len(right.powers) == 1:
            (a, m), (b, n) = *left.powers.items(), *right.powers.items()
            if m == n == 1:
                self._equal[b] = a

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
        key = labels.tobytes() + times.tobytes()
        if key not in self._tied:
            self._tied.add(key)
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
                return left.times(right, -1) if exact and right.coefficient else None

    def _simplify(self, use: SizeUse) -> bool:
        """Give up labels of the axes behind a size until a formula describes them.

        The labels that take most indices with them go first: they are worth least as choices.
        """
        axes = [use.axis, *(leaf.axis for leaf in leaf_axes(use.expr))]
        labelled = [self.coupling.axes[axis] for axis in axes if axis in self.coupling.axes]
        if any(self._new[labels].any() for labels in labelled):
            return False
        irregular = [a for a in axes if self.forms.count(a) is None]
        for axis in irregular or axes:
            labels = self.coupling.axes.get(axis)
            if labels is not None:
                names, times = np.unique(labels[~self.coupling.frozen[labels]], return_counts=True)
                if len(names):
                    return self._freeze(names[times == times.max()], use)
        for attr in attributes(use.expr):
            known = self.repairs.definitions.get(name_of(attr))
            for factor in known[1].powers if known is not None else ():
                if factor in self.forms.known and self._freeze(
                    self.forms.known[factor].labels, use
                ):
                    return True
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
            reason = (
                f"the size {use.expr.value} is written in the code: {use.where}; "
                "in a traced copy it can change: spa.traced(model)"
            )
            if len(new):
                self.coupling.doubtful.append(use)
        self.coupling.frozen[new] = self._new[new] = True
        self.coupling.reasons.update(dict.fromkeys(new.tolist(), reason))
        return len(new) > 0


def known(use: SizeUse) -> SizeUse:
    """A size use as it is, or as a plain number where its expression is worth another one."""
    value, axis = use.axis
    if use.expr.value == value.shape[axis]:
        return use
    return replace(use, expr=Const(value.shape[axis]))


def name_of(attr: Attr) -> AttrName:
    """What tells attributes apart."""
    return attr.owner, attr.name, attr.path


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
