"""From scores of elements to one score per coupled channel.

``I(channel) = norm over the group ( agg over the elements that go with the channel ( S ) )``,
the form of SPA (arXiv 2403.18955) and of DepGraph (arXiv 2301.12900).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.graph.ir import Value
from spa_kernel.importance.registry import Context, Criterion, find

AGGREGATIONS = ("sum", "mean", "max", "prod")
NORMALISATIONS = ("none", "sum", "mean", "max", "minmax", "gaussian")

# Below it an element counts as this: the logarithm of zero would wipe out all other elements.
TINY = float(np.finfo(np.float32).tiny)


def group_scores(
    coupling: Coupling,
    read: Callable[[str], np.ndarray],
    criterion: str | Criterion | Callable[..., np.ndarray],
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
    agg : {"mean", "sum", "max", "prod"}
        Over all elements of parameters (not buffers) that go when the channel goes. ``"prod"``
        is the geometric mean ``exp(mean(log S))``: a product proper would leave the range of
        floating point numbers. An element counts once for each axis that it is reached by.
    norm : {"mean", "sum", "max", "minmax", "gaussian", "none"} or None
        Over the channels of a group: divided by the mean, sum or maximum; ``"minmax"`` maps to
        0 ... 1; ``"gaussian"`` to mean 0 and standard deviation 1. A group whose divisor is zero
        is left as it is (all of its channels are equal then).
    seed : int
    given : mapping, optional
        What the criterion needs, see `Context.given`.

    Returns
    -------
    dict of str to numpy.ndarray
        Group id to float64 scores of shape (group.size,), in the order of ``Group.labels``.
        Channels that touch no parameter score zero.

    Raises
    ------
    InfeasibleTarget
        Unknown criterion, ``agg`` or ``norm``; or a score that is not finite.
    DataNeeded
        The criterion needs something that was not given.
    """
    chosen = find(criterion)
    known(agg, AGGREGATIONS, "agg")
    known(norm or "none", NORMALISATIONS, "norm")
    context = Context(coupling, read, seed, given or {})
    chosen.check(context)
    if chosen.per == "channel":
        raw = {group.id: per_channel(context, chosen, group) for group in coupling.groups}
    else:
        scores = channel_scores(context, chosen, agg)
        raw = {group.id: scores[group.labels] for group in coupling.groups}
    return {name: normalise(scores, norm or "none") for name, scores in raw.items()}


def per_channel(context: Context, chosen: Criterion, group: Group) -> np.ndarray:
    """Scores of one group from a criterion that scores channels directly."""
    scores = finite(chosen.function(context, group), chosen, group.id)
    if scores.shape != (group.size,):
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} made scores of shape {list(scores.shape)} for {group.id} "
            f"of {group.size} channels: it must return one per channel"
        )
    return scores


def channel_scores(context: Context, chosen: Criterion, agg: str) -> np.ndarray:
    """Aggregate an element-wise criterion: float64, one score per label."""
    count = context.coupling.count
    total, weight = np.zeros(count), np.zeros(count)
    for value, axes in labelled(context.coupling):
        array = np.asarray(context.read(value.name))
        scores = finite(chosen.function(context, value.name, array), chosen, value.name)
        if scores.shape != value.shape:
            raise InfeasibleTarget(
                f"criterion {chosen.name!r} made scores of shape {list(scores.shape)} for "
                f"{value.name!r} of shape {list(value.shape)}: it must return one per element"
            )
        if agg == "prod":
            scores = np.log(np.maximum(scores, TINY, dtype=np.float64))
        for axis, per_index in zip(axes, marginals(scores, axes, agg), strict=True):
            labels = context.coupling.axes[value, axis]
            elements = scores.size // max(len(labels), 1)
            for column, fresh in columns(labels):
                if agg == "max":
                    np.maximum.at(total, column, per_index[fresh])
                else:
                    total += np.bincount(column, per_index[fresh], minlength=count)
                    weight += np.bincount(column, minlength=count) * float(elements)
    if agg in ("mean", "prod"):
        total = np.divide(total, weight, out=np.zeros(count), where=weight > 0)
    return np.where(weight > 0, np.exp(total), 0.0) if agg == "prod" else total


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


def normalise(scores: np.ndarray, norm: str) -> np.ndarray:
    """Normalise the scores of one group."""
    scores = np.asarray(scores, dtype=np.float64)
    if norm == "none" or not scores.size:
        return scores
    if norm == "minmax":
        return ratio(scores - scores.min(), float(np.ptp(scores)))
    if norm == "gaussian":
        return ratio(scores - scores.mean(), float(scores.std()))
    divisors = {"sum": scores.sum(), "mean": scores.mean(), "max": scores.max()}
    return ratio(scores, float(divisors[norm]))


def ratio(scores: np.ndarray, divisor: float) -> np.ndarray:
    """Divide, unless by nothing."""
    return scores / divisor if divisor else scores


def finite(scores: Any, chosen: Criterion, where: str) -> np.ndarray:
    """The scores as a float array, or an error where they are not numbers."""
    array = np.asarray(scores)
    if array.dtype.kind != "f":
        array = array.astype(np.float64)
    # The extremes are NaN where any element is, and need no temporary array.
    if array.size and not (np.isfinite(array.min()) and np.isfinite(array.max())):
        raise InfeasibleTarget(
            f"criterion {chosen.name!r} made a score that is not finite for {where!r}: look for "
            "NaN or infinity in its weights"
        )
    return array


def known(name: str, names: tuple[str, ...], what: str) -> None:
    """Raise `InfeasibleTarget` unless the name is one of those that exist."""
    if name not in names:
        near = difflib.get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise InfeasibleTarget(f"{what}={name!r} does not exist: {hint}Use {', '.join(names)}")
