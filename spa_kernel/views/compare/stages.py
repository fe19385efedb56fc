"""Stages of a network: the modules that are worth a row each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import mean

FEWEST, MOST = 5, 25
"""Rows that a person reads at a glance."""
LARGEST = 0.5
"""A stage with more than this share of all costs is opened, if there is room."""
SMALL = 0.003
"""Stages with less than this share of every cost are put together."""
OTHER = "other"

Costs = Mapping[str, tuple[int, ...]]


def stages(costs: Costs) -> dict[str, list[str]]:
    """Put places together to stages.

    Everything is one stage at first. The stage with the largest share of the costs (their mean) is
    opened into its children again and again, as long as that is more than half, or there are
    fewer than `FEWEST` stages; never into more than `MOST`.

    Parameters
    ----------
    costs : mapping of str to tuple of int
        Places (dotted paths of modules), in the order to be shown in, and what each costs in
        some quantities.

    Returns
    -------
    dict of str to list of str
        Stage (a path that its places begin with, or `OTHER`) to places; each place stands once.
    """
    found = {"": list(costs)}
    closed: set[str] = set()
    while open_ := found.keys() - closed:
        largest = max(open_, key=lambda stage: (mean(shares(found[stage], costs)), stage))
        if len(found) >= FEWEST and mean(shares(found[largest], costs)) <= LARGEST:
            break
        inside = children(largest, found[largest])
        if largest == "" and len(inside) > MOST:
            return small_together(runs(inside), costs)
        if len(found) - 1 + len(inside) > MOST or inside.keys() == {largest}:
            closed.add(largest)
            continue
        # What is opened stays where it stood.
        found = {
            name: places
            for stage, own in found.items()
            for name, places in (inside.items() if stage == largest else [(stage, own)])
        }
    return small_together(found, costs)


def shares(places: Sequence[str], costs: Costs) -> list[float]:
    """The share that some places have of each cost."""
    totals = (sum(column) for column in zip(*costs.values(), strict=True))
    sums = (sum(column) for column in zip(*(costs[place] for place in places), strict=True))
    return [s / t if t else 0.0 for s, t in zip(sums, totals, strict=True)]


def children(stage: str, places: Sequence[str]) -> dict[str, list[str]]:
    """The places of a stage by the next part of their path."""
    depth = stage.count(".") + 1 if stage else 0
    found: dict[str, list[str]] = {}
    for place in places:
        found.setdefault(".".join(place.split(".")[: depth + 1]), []).append(place)
    return found


def runs(parts: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Parts that are too many, some that follow each other together."""
    names = list(parts)
    step = -(-len(names) // MOST)
    found = {}
    for start in range(0, len(names), step):
        own = names[start : start + step]
        name = own[0] if len(own) == 1 else f"{own[0]} … {own[-1]}"
        found[name] = [place for part in own for place in parts[part]]
    return found


def small_together(found: Mapping[str, list[str]], costs: Costs) -> dict[str, list[str]]:
    """Stages that cost next to nothing become one, the last."""
    small = [stage for stage, places in found.items() if max(shares(places, costs)) < SMALL]
    if not small or len(small) == len(found):
        return dict(found)
    large = {stage: places for stage, places in found.items() if stage not in small}
    rest = [place for stage in small for place in found[stage]]
    return {**large, OTHER: [*large.pop(OTHER, []), *rest]}
