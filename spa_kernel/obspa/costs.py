"""What it costs to remove channels, as the products that read them tell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from spa_kernel import progress
from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Graph, Value
from spa_kernel.obspa.greedy import Reader, removal_costs
from spa_kernel.obspa.measured import PASSES, Known, measured, removed
from spa_kernel.obspa.moments import Moments, Second
from spa_kernel.obspa.neighbours import Surroundings
from spa_kernel.obspa.products import NONE, Product, column_labels, products, use_of
from spa_kernel.obspa.program import Program, State
from spa_kernel.obspa.solve import best
from spa_kernel.products.uses import matrix_of
from spa_kernel.products.ways import forth

BUDGET = 2**31
"""Most bytes of moments at once; with more, the data is gone through again for the rest."""
SHARES = 1e-3, 1e-2, 1e-1, 1.0
"""Dampings that are tried, as shares of the mean diagonal of a covariance."""
POSITIONS, PER_COLUMN = 2**16, 48
"""Positions that a product's moments are taken from: at least so many in all, and for each column
of W. More say nothing new, as neighbours in a picture are alike."""

LAST = 4.0
"""How much more errors count that no later layer can make up for; when new weights are fitted,
later layers take much of the errors of earlier ones away."""
LEAST = 4
"""Batches for each that is spared to measure on."""
SEVERAL = 8
"""Batches that are reckoned with where their number is not known beforehand."""

Place = tuple[int, int]
"""As `Product.place`."""
Weigh = Callable[[Product, torch.Tensor, Second], torch.Tensor]
"""From a product's W to G W, both float64 (G, R, D)."""


def relative(product: Product, weight: torch.Tensor, moments: Second) -> torch.Tensor:
    """All products matter alike: errors count as shares of the variance of the output."""
    return weight / moments.yy.sum().clamp(min=1e-30)


class Costs(NamedTuple):
    """What removing channels costs.

    Attributes
    ----------
    groups : dict of str to numpy.ndarray
        float64 (group.size,) by group id, in the order of ``group.labels``: the cost of each
        channel at its turn, the cheapest first; NaN for channels that no product reads.
    factor : float
        How much more the removal of channels was measured to cost than the products foretold, in
        the middle group; the costs contain it already.
    """

    groups: dict[str, np.ndarray]
    factor: float


def costs(
    program: Program,
    coupling: Coupling,
    begin: Callable[[], Iterable[State]],
    total: int | None,
    weigh: Weigh = relative,
) -> Costs:
    """What it costs to remove channels, in squared change of the network's output.

    Parameters
    ----------
    program : Program
    coupling : Coupling
        Of the program's graph.
    begin : callable
        Yields the states of all batches.
    total : int or None
        Number of batches, where it is known.
    weigh : callable

    Raises
    ------
    DataNeeded, InfeasibleTarget
    """
    groups = [g for g in coupling.groups if g.prunable]
    scores = {group.id: np.full(group.size, np.nan) for group in groups}
    readers: dict[int, list[Reader]] = {}
    known: dict[int, list[Known]] = {}
    with TemporaryDirectory(prefix="spa_kernel-") as folder:
        # As much for all groups together as `PASSES` passes.
        few = max(1, round(PASSES * (total or SEVERAL) / max(len(groups), 1)))
        for one, parts in reading(
            program, coupling, groups, begin, total, few, weigh, Path(folder)
        ):
            for number, reader in parts:
                readers.setdefault(number, []).append(reader)
            for number in {number for number, _ in parts}:
                known.setdefault(number, []).append(one)
        orders = {}
        for count, number in enumerate(numbers := sorted(readers), 1):
            progress.report("scoring, group", count, len(numbers))
            own = readers.pop(number)
            found = removal_costs(own, groups[number].size)
            orders[number] = np.argsort(found, kind="stable")
            touched = np.unique(np.concatenate([r.channels.cpu().numpy() for r in own]))
            scores[groups[number].id][touched] = found[touched]
        factors = []
        for number, error in measured(program, islice(begin(), few), known, orders).items():
            score = scores[groups[number].id]
            foretold = np.nansum(score[orders[number][: removed(len(score))]])
            if foretold > 0 and error > 0:
                factors.append(error / foretold)
                score *= factors[-1]
        final = last(coupling.graph)
        for number, those in known.items():
            if all(one.product.index in final for one in those):
                scores[groups[number].id] *= LAST
    return Costs(scores, float(np.median(factors)) if factors else 1.0)


def last(graph: Graph) -> set[int]:
    """Positions of the products from which there is a way to an output past no other product."""
    found, seen = set[int](), set[Value]()
    numbers = {p.node: p.index for p in products(graph)}
    makers = {value: node for node in graph.nodes[: graph.evaluated] for value in node.outputs}
    todo = list(graph.outputs)
    while todo:
        value = todo.pop()
        node = makers.get(value)
        if node is None or value in seen:
            continue
        seen.add(value)
        if node in numbers:
            found.add(numbers[node])
        else:
            todo += [v for v in node.inputs if v is not None]
    return found


def reading(
    program: Program,
    coupling: Coupling,
    groups: list[Group],
    begin: Callable[[], Iterable[State]],
    total: int | None,
    few: int,
    weigh: Weigh,
    folder: Path,
) -> Iterator[tuple[Known, list[tuple[int, Reader]]]]:
    """For each product that reads channels of groups, by number, what it reads of each."""
    every = products(coupling.graph)
    labels = {p.place: column_labels(p, coupling) for p in every}
    todo = [p for p in every if (labels[p.place] != NONE).any()]
    # One more, for no label at all.
    owner, place = (np.full(coupling.count + 1, NONE) for _ in range(2))
    for number, group in enumerate(groups):
        owner[group.labels], place[group.labels] = number, np.arange(group.size)
    surroundings, count, done = Surroundings(coupling.graph), len(todo), 0
    while todo:
        now = affordable(todo, labels)
        del todo[: len(now)]
        found = summed(program, now, begin, total, few, outputs=weigh is relative)
        for product in now:
            done += 1
            progress.report("inverting covariances, layer", done, count)
            moments = found.pop(product.place, None)
            if moments is None:
                continue
            second = finite(moments.of(), product)
            used = forth(program.stored[product.way.parameter], product.way)
            weight = matrix_of(product.node, product.position, used).double()
            near = surroundings.of(product.node, weight.shape[0] * weight.shape[1])
            central = bool(near.bias or near.norm)
            inverse = inverted(moments, weight, central) if product.alone else unaided(second)
            marks = labels[product.place]
            path = folder / f"{product.index}-{product.position}.pt"
            torch.save((second.x.float(), inverse.float()), path)
            one = Known(product, near, owner[marks], place[marks], path)
            weighed = weigh(product, weight, second)
            yield one, list(read(one.owner, one.place, inverse, weight, weighed))


def affordable(todo: list[Product], labels: dict[Place, np.ndarray]) -> list[Product]:
    """As many of the next products as fit, and one at least."""
    sizes = [8 * blocks * width**2 for blocks, width, _ in (labels[p.place].shape for p in todo)]
    return todo[: max(1, int((np.cumsum(sizes) <= BUDGET).sum()))]


def summed(
    program: Program,
    now: list[Product],
    begin: Callable[[], Iterable[State]],
    total: int | None,
    measuring: int,
    outputs: bool,
) -> dict[Place, Moments]:
    """The moments of some products, while the network runs on the data once."""
    found: dict[Place, Moments] = {}
    # What is measured on is not learnt from, where there is enough.
    spared = measuring if total is None or total >= LEAST * measuring else 0
    for number, state in enumerate(islice(begin(), spared, None), 1):
        progress.report("collecting moments, batch", number, total)
        for product in now:
            program.run(state, product.index, through=False)
            use = use_of(program, state, product)
            if use is None or not use.shape[2] or (outputs and not use.whole):
                continue
            y = None
            if outputs:
                program.run(state, product.index, through=True)
                result = program.result(state, product.index)
                if result is None:
                    continue
                y = use.outputs(result)
            most = positions(use.shape[1], total)
            for x, beside in use.pieces(y, most):
                found.setdefault(product.place, Moments(2)).add(x, beside, number % 2)
    return found


def positions(width: int, total: int | None) -> int:
    """How many positions of a batch are looked at."""
    return -(-max(POSITIONS, PER_COLUMN * width) // (total or SEVERAL))


def finite(moments: Second, product: Product) -> Second:
    """The moments, or an error where they are not numbers."""
    if not (moments.xx.isfinite().all() and moments.yy.isfinite().all()):
        raise InfeasibleTarget(
            f"what {product.way.parameter!r} is multiplied by is not finite, or too large to be "
            "squared: look for NaN or infinity in the data and the weights"
        )
    return moments


def read(
    owner: np.ndarray,
    place: np.ndarray,
    inverses: torch.Tensor,
    weight: torch.Tensor,
    weighed: torch.Tensor,
) -> Iterator[tuple[int, Reader]]:
    """What a product reads of each group, block by block.

    Parameters
    ----------
    owner, place : numpy.ndarray
        int64 (G, D, k): numbers of groups, and which of their channels.
    inverses : torch.Tensor
        (G, D, D)
    weight, weighed : torch.Tensor
        W and G W, (G, R, D).
    """
    for block, inverse in enumerate(inverses):
        for number in np.unique(owner[block]):
            if number == NONE:
                continue
            columns, which = (owner[block] == number).nonzero()
            channels = place[block][columns, which]
            counts = np.bincount(channels)
            for width in np.unique(counts[counts > 0]):
                # Channels of another width, if there are any, are taken as a group of their own.
                alike = counts[channels] == width
                order = np.argsort(channels[alike], kind="stable")
                taken = torch.from_numpy(columns[alike][order]).to(inverse.device)
                own = torch.from_numpy(channels[alike][order][::width].copy()).to(inverse.device)
                gram = weight[block][:, taken].T @ weighed[block][:, taken]
                yield int(number), Reader(inverse[taken[:, None], taken], gram, own)


def inverted(moments: Moments, weight: torch.Tensor, central: bool) -> torch.Tensor:
    """Inverses of covariances (G, D, D), damped as serves data best that they do not know.

    Columns are removed as one half of the data says, and the others make up for them; the damping
    is the one with which that costs least on the other half.

    Parameters
    ----------
    moments : Moments
        In two folds, or one.
    weight : torch.Tensor
        W, float64 (G, R, D).
    central : bool
        As for `spa_kernel.obspa.solve.fitted`.
    """

    def part(*folds: int) -> torch.Tensor:
        found = moments.of(*folds)
        return (found if central else found.about_zero()).xx

    share = SHARES[1]
    if bool((moments.count > 0).all()) and moments.folds == 2:
        halves = part(0), part(1)
        pairs = halves, halves[::-1]

        def crossed(share: float) -> float:
            return sum(lost(damped_inverse(one, share), weight, other) for one, other in pairs)

        share = best(SHARES, crossed, SHARES[1])
    return damped_inverse(part(), share)


def unaided(second: Second) -> torch.Tensor:
    """The same where the other columns make up for nothing, as their weights stay what they are.

    That is of weights that several products share, such as the steps of a loop that was unrolled.
    """
    squares = second.about_zero().xx.diagonal(dim1=1, dim2=2)
    return torch.diag_embed(1 / torch.where(squares > 0, squares, 1.0))


def damped_inverse(matrices: torch.Tensor, share: float) -> torch.Tensor:
    """Inverses of (G, D, D); inputs that never vary get a one."""
    diagonal = matrices.diagonal(dim1=1, dim2=2)
    dead = diagonal <= 0
    mean = diagonal.sum(1) / (~dead).sum(1).clamp(min=1)
    more = torch.diag_embed(dead.double() + share * mean[:, None])
    return torch.cholesky_inverse(torch.linalg.cholesky(matrices + more))


def lost(inverse: torch.Tensor, weight: torch.Tensor, covariance: torch.Tensor) -> float:
    """What removing the `SHARE` of columns that seem to matter least costs on other data."""
    total = 0.0
    for a, w, h in zip(inverse, weight, covariance, strict=True):
        single = w.square().sum(0) / a.diagonal()
        gone = single.argsort()[: removed(len(single))]
        change = -w[:, gone] @ torch.linalg.solve(a[gone[:, None], gone], a[gone])
        change[:, gone] = -w[:, gone]
        total += float(((change @ h) * change).sum())
    return total
