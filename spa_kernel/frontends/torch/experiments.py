"""Which axes of an operator's operands and outputs keep their indices apart: by experiment.

Two experiments per axis. Changing the entries at some indices shows which outputs depend on
them. Leaving indices out shows whether that is all there is to it: the operator on cut operands
must make the cut output, which is what a prune will ask of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import prod

import torch

from spa_kernel.frontends.torch.cutting import (
    ROUGH,
    ROUNDING,
    Cut,
    Outputs,
    alike,
    along,
    blank,
    few,
    halves,
    shorter,
    some,
)
from spa_kernel.graph.operators import Zero
from spa_kernel.graph.ops_probed import Place, Trial

Run = Callable[[Outputs], Outputs]
Pair = tuple[Place, Place]
"""An axis of an output and one of an operand."""

TOGETHER = 3
"""At most so many axes are summed over together."""
SMALL = 20_000
"""Entries from which on the axes that are not looked at are cut to a few indices first."""

MIXED = "tried numerically, an index of this axis influences more than its own entries"
SIZE = "tried numerically, what it makes of the others depends on which indices are left out"


class NotTried(Exception):
    """Why an operator could not be tried out."""


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """The operator on a few sets of operands.

    Parameters
    ----------
    run : callable
        The operator, as a function of its tensor operands.
    draws : list of list of tensor
        Sets of operands.
    made : list of list of tensor
        What it makes of them.
    signed : list of bool
        Which operands may be negative.
    """

    run: Run
    draws: list[Outputs]
    made: list[Outputs]
    signed: list[bool]

    def attempt(self, operands: Outputs) -> Outputs:
        """The outputs, or none where the operator does not take such operands."""
        try:
            return self.run(operands)
        except NotTried:
            raise
        except Exception:
            return []

    def cropped(self, ins: Cut, outs: Cut) -> World | None:
        """The same on fewer indices; ``None`` where that does not cut the outputs alike."""
        draws = [[shorter(t, i, ins) for i, t in enumerate(operands)] for operands in self.draws]
        made = [self.attempt(operands) for operands in draws]
        for whole, got in zip(self.made, made, strict=True):
            if not alike(whole, got, outs, ROUNDING):
                return None
        return replace(self, draws=draws, made=made)

    def followers(self, place: Place, outs: list[Place]) -> list[Place]:
        """Output axes on which changes at some indices show at these indices and no others."""
        n = self.draws[0][place[0]].shape[place[1]]
        left = {out: torch.zeros(n, dtype=torch.bool) for out in outs}
        for operands, made in zip(self.draws, self.made, strict=True):
            for hit in halves(n, brief=True):
                if not left:
                    return []
                changed = list(operands)
                changed[place[0]] = self._changed(place, operands[place[0]], hit)
                after = self.attempt(changed)
                if [t.shape for t in after] != [t.shape for t in made]:
                    return []
                for (o, axis), seen in list(left.items()):
                    differs = along(after[o] != made[o], axis)
                    if bool((differs & ~hit).any()):
                        del left[o, axis]
                    else:
                        seen |= differs
        return [out for out, seen in left.items() if bool(seen.all())]

    def _changed(self, place: Place, operand: torch.Tensor, hit: torch.Tensor) -> torch.Tensor:
        """The operand with other entries at some indices of an axis."""
        index, axis = hit.nonzero().flatten().to(operand.device), place[1]
        old = operand.index_select(axis, index)
        if operand.dtype == torch.bool:
            new = ~old
        elif not fractional(operand):
            # Other ones that occur, so that what were indices still are.
            new = operand.max() + operand.min() - old
        elif self.signed[place[0]]:
            new = -1.37 * old - old.sgn()
        else:
            new = torch.where(old < 1, 1 - old, 1.37 * old)
        return operand.index_copy(axis, index, new.to(operand.dtype))

    def confirmed(self, part: list[Pair]) -> bool:
        """Whether cutting these axes of the operands cuts these axes of the outputs."""
        (i, axis), ins = part[0][1], {place for _, place in part}
        outs = {out for out, _ in part}
        for number, (operands, made) in enumerate(zip(self.draws, self.made, strict=True)):
            for kept in halves(operands[i].shape[axis]):
                cut, whole = dict.fromkeys(ins, kept), made
                if number:
                    # As in a masked network: what goes is zero.
                    whole = self.attempt([blank(t, k, cut) for k, t in enumerate(operands)])
                got = self.attempt([shorter(t, k, cut) for k, t in enumerate(operands)])
                if not alike(whole, got, dict.fromkeys(outs, kept), ROUNDING):
                    return False
        return True

    def summed(self, places: tuple[Place, ...]) -> bool:
        """Whether zeros in any one of these axes make it right to cut all of them."""
        i, axis = places[0]
        for operands in self.draws:
            for kept in halves(operands[i].shape[axis], brief=True):
                cut = dict.fromkeys(places, kept)
                got = self.attempt([shorter(t, k, cut) for k, t in enumerate(operands)])
                for place in places:
                    one = {place: kept}
                    whole = self.attempt([blank(t, k, one) for k, t in enumerate(operands)])
                    if not alike(whole, got, {}, ROUNDING):
                        return False
        return True

    def stays_zero(self, out: Place, places: list[Place]) -> bool:
        """Whether zeros at an index of these axes make zeros at this index of an output."""
        i, axis = places[0]
        for operands in self.draws:
            for kept in halves(operands[i].shape[axis], brief=True):
                cut = dict.fromkeys(places, kept)
                after = self.attempt([blank(t, k, cut) for k, t in enumerate(operands)])
                if not after or bool(along(after[out[0]] != 0, out[1])[~kept].any()):
                    return False
        return True


def fractional(tensor: torch.Tensor) -> bool:
    """Whether these are no whole numbers."""
    return tensor.dtype.is_floating_point or tensor.dtype.is_complex


@dataclass(slots=True, eq=False)
class Findings:
    """What the experiments have shown so far."""

    same: list[Pair] = field(default_factory=list)
    contracted: list[tuple[Place, ...]] = field(default_factory=list)
    inputs: dict[Place, str] = field(default_factory=dict)
    outputs: dict[Place, str] = field(default_factory=dict)
    single: bool = True
    """Whether zeros in one operand have always made zeros in an output."""
    lacking: list[set[int]] = field(default_factory=list)
    """Operands whose zeros, even together, did not make zeros in some output."""

    def zero(self, operands: int) -> Zero:
        """The strongest rule on zeros that has held everywhere."""
        if self.single:
            return "any"
        if not self.lacking:
            return "all"
        if operands > 2 and all(2 not in carrying for carrying in self.lacking):
            return "biased"
        return "every" if all(len(c) < operands for c in self.lacking) else "never"


class Experiments:
    """All experiments on one operator; ``free`` operands can lose indices.

    Axes are looked at by size, since only axes of equal size can go together. If there are many
    entries, the others are first cut to a few indices each, where that is found to be harmless.
    """

    def __init__(
        self, run: Run, draws: list[Outputs], free: list[bool], signed: list[bool]
    ) -> None:
        self.world = World(run, draws, [run(operands) for operands in draws], signed)
        self.ins = by_size(draws[0], free)
        self.outs = by_size(self.world.made[0], [True] * len(self.world.made[0]))
        made = sum(prod(t.shape) for t in self.world.made[0])
        self.large = made + sum(prod(t.shape) for t in draws[0]) > SMALL

    def trial(self) -> Trial:
        """Everything that the experiments show."""
        found = Findings()
        harmless = [n for n in self.ins if self.large and n > 4 and self._crop([n]) is not None]
        for n, places in self.ins.items():
            world = self._crop([m for m in harmless if m != n]) or self.world
            self._look(world, places, self.outs.get(n, []), found)
        trial = Trial(
            tuple(found.same),
            tuple(found.contracted),
            found.zero(len(self.world.draws[0])),
            found.inputs,
            found.outputs,
        )
        if not self.agrees(trial, ROUNDING):
            return Trial(inputs={p: SIZE for places in self.ins.values() for p in places})
        return trial

    def _crop(self, sizes: list[int]) -> World | None:
        ins: Cut = {place: few(n) for n in sizes for place in self.ins[n]}
        outs: Cut = {place: few(n) for n in sizes for place in self.outs.get(n, [])}
        return self.world.cropped(ins, outs) if ins else self.world

    def _look(self, world: World, places: list[Place], outs: list[Place], found: Findings) -> None:
        """Find what the axes of one size have to do with each other."""
        pairs = [(out, place) for place in places for out in world.followers(place, outs)]
        left = list(places)
        for part in components(pairs):
            ins = {place for _, place in part}
            left = [place for place in left if place not in ins]
            if world.confirmed(part):
                found.same += part
                self._zeros(world, part, found)
            else:
                found.inputs.update(dict.fromkeys(ins, SIZE))
                found.outputs.update(dict.fromkeys([out for out, _ in part], SIZE))
        for chosen in self._contractions(world, left):
            found.contracted.append(chosen)
            left = [place for place in left if place not in chosen]
        found.inputs.update(dict.fromkeys(left, MIXED))

    def _zeros(self, world: World, part: list[Pair], found: Findings) -> None:
        for out in dict.fromkeys(out for out, _ in part):
            places = [place for o, place in part if o == out]
            found.single &= all(world.stays_zero(out, [place]) for place in places)
            if not world.stays_zero(out, places):
                found.lacking.append({i for i, _ in places})

    def _contractions(self, world: World, places: list[Place]) -> list[tuple[Place, ...]]:
        """Axes of one size that are summed over: leaving zeros out changes nothing."""
        found: list[tuple[Place, ...]] = []
        pool = [place for place in places if fractional(world.draws[0][place[0]])]
        # None is cut alone where another one might have to be cut with it.
        if len(pool) == 1:
            return [(pool[0],)] if world.summed((pool[0],)) else []
        for width in range(2, TOGETHER + 1) if len(pool) <= 6 else ():
            for chosen in combinations(pool, width):
                taken = {place for places in found for place in places}
                if not taken.intersection(chosen) and world.summed(chosen):
                    found.append(chosen)
        return found

    def agrees(self, trial: Trial, rounding: dict[torch.dtype, float] = ROUGH) -> bool:
        """Whether cutting everything at once does what it should."""
        sizes = {place: n for n, places in self.ins.items() for place in places}
        for number, operands in enumerate(self.world.draws):
            cut: Cut = {}
            outs: Cut = {}
            zero: Cut = {}
            for k, part in enumerate(components(trial.same)):
                kept = some(sizes[part[0][1]], 100 + 10 * k + number)
                cut.update(dict.fromkeys([place for _, place in part], kept))
                outs.update(dict.fromkeys([out for out, _ in part], kept))
            for k, places in enumerate(trial.contracted):
                kept = some(sizes[places[0]], 200 + 10 * k + number)
                cut.update(dict.fromkeys(places, kept))
                zero[places[number % len(places)]] = kept
            whole = self.world.attempt([blank(t, i, zero) for i, t in enumerate(operands)])
            got = self.world.attempt([shorter(t, i, cut) for i, t in enumerate(operands)])
            if not alike(whole, got, outs, rounding):
                return False
        return True


def by_size(tensors: Outputs, which: list[bool]) -> dict[int, list[Place]]:
    """The axes of each size above one, of some of the tensors."""
    found: dict[int, list[Place]] = {}
    for i, tensor in enumerate(tensors):
        for axis, n in enumerate(tensor.shape):
            if which[i] and n > 1:
                found.setdefault(n, []).append((i, axis))
    return found


def components(same: Iterable[tuple[Place, Place]]) -> list[list[tuple[Place, Place]]]:
    """Pairs of output and operand axes that hang together."""
    parts: list[list[tuple[Place, Place]]] = []
    for pair in same:
        out, place = pair
        touching = [p for p in parts if any(out == o or place == i for o, i in p)]
        parts = [p for p in parts if p not in touching]
        parts.append([q for p in touching for q in p] + [pair])
    return parts
