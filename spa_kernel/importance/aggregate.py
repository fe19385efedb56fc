"""From scores of elements to one score per coupled channel.

``I(channel) = norm over the group ( agg over the elements that go with the channel ( S ) )``,
the form of SPA (arXiv 2403.18955) and of DepGraph (arXiv 2301.12900).
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Value
from spa_kernel.importance.normalise import NORMALISATIONS, normalise
from spa_kernel.importance.registry import Context, Criterion, Scorer, find

AGGREGATIONS = ("sum", "mean", "max", "prod", "median", "first")

# Below it an element counts as this: the logarithm of zero would wipe out all other elements.
TINY = float(np.finfo(np.float32).tiny)


def group_scores(
    coupling: Coupling,
    read: Callable[[str], np.ndarray],
    criterion: str | Criterion | Scorer,
    agg: str = "mean",
    norm: str | None = "mean",
    seed: int = 0,
    given: Mapping[str, Any] | None = None,
) -> dict[str, np.ndarray]:
    """Score every coupled channel of every group, frozen groups included.

    Parameters
    ----------
    coupling : Coupling
    read : callable
        ``read(name)`` is the content of a parameter as a numpy array of its shape.
    criterion : str, Criterion or callable
        Registered name, or a function ``(context, name, array) -> array``.
    agg : {"mean", "sum", "max", "prod", "median", "first"}
        Over all elements of parameters (not buffers) that go when the channel goes. ``"prod"``
        is the geometric mean ``exp(mean(log S))``: a product proper would leave the range of
        floating point numbers. ``"first"`` is the mean over the first parameter alone, that of
        the layer which makes the channels. An element counts once for each axis that it is
        reached by. Criteria that score channels directly do not ask for it.
    norm : {"mean", "sum", "max", "minmax", "gaussian", "none"} or None
        Over the channels of a group: divided by the mean, sum or maximum of the absolute
        scores; ``"minmax"`` maps to 0 ... 1; ``"gaussian"`` to mean 0 and standard deviation 1.
        A group whose divisor is zero is left as it is (all of its channels are equal then).
    seed : int
    given : mapping, optional
        What the criterion needs, see `Context.given`.

    Returns
    -------
    dict of str to numpy.ndarray
        Group id to float64 scores of shape (group.size,), in the order of ``Group.labels``.
        Channels that touch no parameter score zero. A group that the criterion says nothing of
        is left out.

    Raises
    ------
    InfeasibleTarget
        Unknown criterion, ``agg`` or ``norm``; a score that is not finite; or ``agg="prod"``
        with scores below zero.
    DataNeeded
        The criterion needs something that was not given.
    """
    chosen = find(criterion)
    known(agg, AGGREGATIONS, "agg")
    known(norm or "none", NORMALISATIONS, "norm")
    context = Context(coupling, lambda name: read_only(read(name)), seed, given or {})
    chosen.check(context)
    raw: dict[str, np.ndarray | None]
    if chosen.per == "channel":
        raw = {group.id: per_channel(context, chosen, group) for group in coupling.groups}
    elif agg == "median":
        raw = medians(context, chosen)
    elif agg == "first":
        raw = {group.id: first_mean(context, chosen, group) for group in coupling.groups}
    else:
        scores = channel_scores(context, chosen, agg)
        raw = {group.id: scores[group.labels] for group in coupling.groups}
    return {id_: normalise(s, norm or "none") for id_, s in raw.items() if s is not None}


def read_only(array: np.ndarray) -> np.ndarray:
    """A view that cannot be written to: the array may be the model's own memory."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def per_channel(context: Context, chosen: Criterion, group: Group) -> np.ndarray | None:
    """Scores of one group from a criterion that scores channels directly."""
    made = chosen.function(context, group)
    if made is None:
        return None
    scores = finite(made, chosen, group.id)
    if scores.shape != (group.size,):
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} made scores of shape {list(scores.shape)} for {group.id} "
            f"of {group.size} channels: it must return one per channel"
        )
    return scores


def element_scores(context: Context, chosen: Criterion, name: str) -> np.ndarray:
    """Scores of the elements of one parameter, checked."""
    array = context.read(name)
    made = chosen.function(context, name, array)
    if made is None:
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} returned nothing for {name!r}: end it with return, and "
            "one score per element"
        )
    scores = finite(made, chosen, name)
    if scores.shape != array.shape:
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} made scores of shape {list(scores.shape)} for "
            f"{name!r} of shape {list(array.shape)}: it must return one per element"
        )
    return scores


def first_mean(context: Context, chosen: Criterion, group: Group) -> np.ndarray:
    """Mean over what goes of the group's first parameter, float64."""
    rows = context.slices(group, read=lambda name: element_scores(context, chosen, name))
    for _, _, first in rows:
        mean: np.ndarray = first.mean(axis=1, dtype=np.float64)
        return mean
    return np.zeros(group.size)


def medians(context: Context, chosen: Criterion) -> dict[str, np.ndarray | None]:
    """Median over all elements that go with each channel, by group; float64."""
    groups = context.coupling.groups
    left = Counter(name for group in groups for name, _ in group.members)
    held: dict[str, np.ndarray] = {}

    def read(name: str) -> np.ndarray:
        """Scores are worked out once, and kept until the last group that needs them."""
        if name not in held:
            held[name] = element_scores(context, chosen, name)
        left[name] -= 1
        return held[name] if left[name] else held.pop(name)

    found: dict[str, np.ndarray | None] = {}
    for group in groups:
        rows = [rows for _, _, rows in context.slices(group, read=read)]
        found[group.id] = middle(np.concatenate(rows, axis=1)) if rows else np.zeros(group.size)
    return found


def middle(rows: np.ndarray) -> np.ndarray:
    """Median of each row, float64; the rows are reordered."""
    # numpy.median looks for NaN as well, which takes as long again.
    half = rows.shape[1] // 2
    rows.partition(half, axis=1)
    upper = rows[:, half].astype(np.float64)
    return upper if rows.shape[1] % 2 else (upper + rows[:, :half].max(axis=1)) / 2


def channel_scores(context: Context, chosen: Criterion, agg: str) -> np.ndarray:
    """Aggregate an element-wise criterion: float64, one score per label."""
    count = context.coupling.count
    total, weight = np.zeros(count), np.zeros(count)
    largest = np.full(count, -np.inf)
    for value, axes in labelled(context.coupling):
        scores = element_scores(context, chosen, value.name)
        if agg == "prod":
            scores = logarithm(scores, chosen, value.name)
        for axis, per_index in zip(axes, marginals(scores, axes, agg), strict=True):
            labels = context.coupling.axes[value, axis]
            elements = scores.size // max(len(labels), 1)
            for column, fresh in columns(labels):
                if agg == "max":
                    np.maximum.at(largest, column, per_index[fresh])
                else:
                    total += np.bincount(column, per_index[fresh], minlength=count)
                    weight += np.bincount(column, minlength=count) * float(elements)
    if agg == "max":
        return np.where(largest > -np.inf, largest, 0.0)
    if agg in ("mean", "prod"):
        total = np.divide(total, weight, out=np.zeros(count), where=weight > 0)
    return np.where(weight > 0, np.exp(total), 0.0) if agg == "prod" else total


def logarithm(scores: np.ndarray, chosen: Criterion, name: str) -> np.ndarray:
    """Logarithm of scores, or an error where they have a sign."""
    if scores.size and scores.min() < 0:
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} made scores below zero for {name!r}, which have no "
            'geometric mean: use agg="mean" or "sum"'
        )
    found: np.ndarray = np.log(np.maximum(scores, TINY, dtype=np.float64))
    return found


def labelled(coupling: Coupling) -> Iterator[tuple[Value, list[int]]]:
    """Parameters that can lose something, with the axes that can."""
    for value in coupling.graph.parameters:
        axes = [a for a in range(value.ndim) if (value, a) in coupling.axes]
        if axes:
            yield value, axes


def marginals(scores: np.ndarray, axes: list[int], agg: str) -> Iterator[np.ndarray]:
    """For each axis, one number per index: the sum (or maximum) over all other axes."""
    # Axes without labels are reduced once for all, so that what is left to reduce is small.
    others = tuple(a for a in range(scores.ndim) if a not in axes)
    reduced = reduce(scores, others, agg)
    for position in range(len(axes)):
        rest = tuple(p for p in range(len(axes)) if p != position)
        yield reduce(reduced, rest, agg)


def reduce(scores: np.ndarray, axes: tuple[int, ...], agg: str) -> np.ndarray:
    """Sum (or take the maximum) over some axes, in double precision."""
    if not axes:
        # numpy would copy everything, in double precision.
        return scores
    if agg == "max":
        largest: np.ndarray = scores.max(axis=axes).astype(np.float64)
        return largest
    total: np.ndarray = scores.sum(axis=axes, dtype=np.float64)
    return total


def columns(labels: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray | slice]]:
    """Columns of a label array (n, k), and the rows they count for.

    A label that stands twice in a row counts once.
    """
    yield labels[:, 0], slice(None)
    for k in range(1, labels.shape[1]):
        fresh = (labels[:, :k] != labels[:, k : k + 1]).all(axis=1)
        yield labels[fresh, k], fresh


def finite(scores: Any, chosen: Criterion, where: str) -> np.ndarray:
    """The scores as a float array, or an error where they are not numbers."""
    array = np.asarray(scores)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    # The extremes are NaN where any element is, and need no temporary array.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} made a score that is not finite for {where!r}: look for "
            "NaN or infinity in the weights and the data"
        )
    return array


def known(name: str, names: tuple[str, ...], what: str) -> None:
    """Raise `InfeasibleTarget` unless the name is one of those that exist."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InfeasibleTarget(f"{what}={name!r} does not exist: {hint}Use {', '.join(names)}")
