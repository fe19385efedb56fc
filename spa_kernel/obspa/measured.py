"""Costs of a group's channels, put right by what removing some of them really does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from spa_kernel import progress
from spa_kernel.obspa.neighbours import Neighbours
from spa_kernel.obspa.products import Product
from spa_kernel.obspa.program import Program, State, copied
from spa_kernel.products.uses import matrix_of, weight_of
from spa_kernel.products.ways import back, forth

SHARE = 0.3
"""Part of a group's channels that are removed to see what that does."""
PASSES = 3
"""How often, in all, as much data as there is goes through the network for that."""


class Known(NamedTuple):
    """What is kept of a product's inputs.

    Attributes
    ----------
    product : Product
    near : Neighbours
    owner, place : numpy.ndarray
        As for `spa_kernel.obspa.costs.read`.
    path : Path
        A file with the mean (G, D) and the inverse covariance (G, D, D) of the inputs.
    """

    product: Product
    near: Neighbours
    owner: np.ndarray
    place: np.ndarray
    path: Path


def without(
    program: Program, known: Known, number: int, gone: np.ndarray
) -> dict[str, torch.Tensor]:
    """Tensors of a program in which a product does without some channels of a group.

    The columns that are left make up for it, and so does the bias, or a BatchNorm's mean.

    Parameters
    ----------
    program : Program
    known : Known
    number : int
        Of the group.
    gone : numpy.ndarray
        bool, one per channel of the group.
    """
    product, near = known.product, known.near
    mean, inverse = torch.load(known.path)
    parameter = program.stored[product.way.parameter]
    used = forth(parameter, product.way)
    weight = matrix_of(product.node, product.position, used).double()
    hit = known.owner == number
    hit[hit] = gone[known.place[hit]]
    change = torch.zeros_like(weight)
    for block, columns in enumerate(torch.from_numpy(hit.any(2))):
        out = columns.nonzero().flatten().to(weight.device)
        if len(out):
            rows = inverse[block][out].double()
            change[block] = -weight[block][:, out] @ torch.linalg.solve(rows[:, out], rows)
            change[block][:, out] = -weight[block][:, out]
    moved = weight_of(product.node, product.position, change, tuple(used.shape))
    found = {product.way.parameter: (parameter.double() + back(moved, product.way)).to(parameter)}
    shift = (change @ mean.double()[..., None]).flatten()
    if near.bias:
        bias = program.stored[near.bias]
        found[near.bias] = (bias.double() - shift.reshape(bias.shape)).to(bias)
    elif near.norm:
        old = program.stored[near.norm.mean]
        found[near.norm.mean] = (old.double() + shift).to(old)
    return found


def measured(
    program: Program,
    states: Iterable[State],
    readers: dict[int, list[Known]],
    orders: dict[int, np.ndarray],
) -> dict[int, float]:
    """What removing the first `SHARE` of each group does to the output.

    Parameters
    ----------
    program : Program
    states : iterable of State
        Batches before the first operator.
    readers : dict
        The products that read each group.
    orders : dict
        The channels of each group, in the order in which they go.

    Returns
    -------
    dict of int to float
        Mean square of the change of the outputs, each as a multiple of its deviation.
    """
    first = {number: min(k.product.index for k in parts) for number, parts in readers.items()}
    numbers = sorted(readers, key=first.__getitem__)
    waiting = list(states)
    ends = [program.outputs(copied(state)) for state in waiting]
    found = {}
    for count, number in enumerate(numbers, 1):
        progress.report("measuring, group", count, len(numbers))
        order = orders[number]
        gone = np.zeros(len(order), dtype=bool)
        gone[order[: removed(len(order))]] = True
        new: dict[str, torch.Tensor] = {}
        for known in readers[number]:
            # Tensors are handed on, as several products may share one.
            with replaced(program, new):
                new |= without(program, known, number, gone)
        total = 0.0
        for state, end in zip(waiting, ends, strict=True):
            program.run(state, first[number], through=False)
            with replaced(program, new):
                total += difference(end, program.outputs(copied(state)))
        found[number] = total / len(waiting)
    return found


def removed(size: int) -> int:
    """How many of a group's channels are removed."""
    return max(1, round(SHARE * size))


@contextmanager
def replaced(program: Program, new: dict[str, torch.Tensor]) -> Iterator[None]:
    """Give a program other tensors for a while."""
    old = {name: program.stored[name] for name in new}
    program.stored.update(new)
    try:
        yield
    finally:
        program.stored.update(old)


def difference(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """Mean square of the difference of outputs, as multiples of their deviations."""
    squares = [
        float((a.double() - b.double()).square().mean() / a.double().var(correction=0))
        for a, b in zip(one, other, strict=True)
        if a.is_floating_point() and a.numel() > 1 and a.double().var(correction=0) > 0
    ]
    return sum(squares)
