"""The registry of importance criteria."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import DataNeeded, InfeasibleTarget
from spa_kernel.importance.needs import Asks, asks
from spa_kernel.importance.slices import channel_slices

Per = Literal["element", "channel"]
Scorer = Callable[..., np.ndarray | None]
"""The function of a criterion, see `Criterion.function`."""


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What a criterion may look at besides the parameter that it scores.

    Attributes
    ----------
    coupling : Coupling
    read : callable
        ``read(name)`` is the content of a parameter or buffer as a numpy array.
    seed : int
        For criteria that draw random numbers.
    given : mapping of str to Any
        What a criterion's ``needs`` ask for, such as ``{"gradient": {name: array}}``
        (`spa_kernel.importance.needs`), and ``data`` and ``loss`` where the person gave them.
    """

    coupling: Coupling
    read: Callable[[str], np.ndarray]
    seed: int = 0
    given: Mapping[str, Any] = field(default_factory=dict)

    def slices(
        self,
        group: Group,
        names: Container[str] | None = None,
        read: Callable[[str], np.ndarray] | None = None,
    ) -> Iterator[tuple[str, int, np.ndarray]]:
        """What goes with each channel of a group, parameter by parameter and axis by axis.

        Parameters
        ----------
        group : Group
        names : container of str, optional
            Only these parameters; by default all that the group touches, and no buffers.
        read : callable, optional
            ``read(name)`` is an array of a parameter's shape, such as its gradient; by default
            its content.

        Yields
        ------
        name : str
        axis : int
        rows : numpy.ndarray
            (group.size, elements per channel), read-only, in the order of ``group.labels``.

        Examples
        --------
        >>> @criterion("spread", per="channel")
        ... def spread(context, group):
        ...     '''Standard deviation of a channel's weights.'''
        ...     rows = [rows for name, axis, rows in context.slices(group)]
        ...     return np.concatenate(rows, axis=1).std(axis=1)
        """
        read = read or self.read
        for name, axis in group.members:
            value = self.coupling.graph.stored[name]
            if value.kind == "parameter" and (names is None or name in names):
                labels = self.coupling.axes[value, axis]
                yield name, axis, channel_slices(read(name), axis, labels, group)


@dataclass(frozen=True, slots=True)
class Criterion:
    """A registered criterion.

    Attributes
    ----------
    name : str
    function : callable
        For ``per="element"``: ``function(context, name, array) -> array``, one score per element
        of the parameter, of the same shape, and finite. The least go first; scores below zero
        are for criteria with a sign, such as GraSP.
        For ``per="channel"``: ``function(context, group) -> array or None``, one score per
        coupled channel, of shape (group.size,); ``None`` where the criterion says nothing of
        this group, which then stays whole.
    summary : str
        First line of the function's docstring.
    needs : tuple of str
        Statistics of `spa_kernel.importance.needs`, or ``"data"``, ``"loss"``; each is a key of
        `Context.given`.
    per : {"element", "channel"}
    norm : str
        How scores are made comparable between groups unless a person says otherwise.
    cost_weight : float
        The same for ranking by score and cost, with targets other than ``ratio``.
    reconstruct : bool
        The same for reconstructing weights after the prune.
    """

    name: str
    function: Scorer
    summary: str = ""
    needs: tuple[str, ...] = ()
    per: Per = "element"
    norm: str = "mean"
    cost_weight: float = 0.0
    reconstruct: bool = False

    @property
    def asks(self) -> Asks:
        """What a person must give, as `spa_kernel.importance.needs.Asks`."""
        asked = {asks(need) for need in self.needs}
        order: tuple[Asks, ...] = ("labels", "data", "inputs")
        return next((kind for kind in order if kind in asked), "nothing")

    def check(self, context: Context) -> None:
        """Raise `DataNeeded` unless the context holds everything that the criterion needs."""
        missing = [need for need in self.needs if context.given.get(need) is None]
        if missing:
            raise DataNeeded(
                f"criterion {self.name!r} needs {', '.join(missing)}: give data= (and loss=), "
                "or choose a criterion that needs none"
            )


_CRITERIA: dict[str, Criterion] = {}


def criterion(
    name: str,
    *,
    needs: Iterable[str] = (),
    per: Per = "element",
    norm: str = "mean",
    cost_weight: float = 0.0,
    reconstruct: bool = False,
) -> Callable[[Scorer], Scorer]:
    """Register a criterion; registering a name again replaces it (a cell that is run twice).

    Parameters
    ----------
    name : str
    needs : iterable of str
    per : {"element", "channel"}
    norm : str
    cost_weight : float
    reconstruct : bool

    Examples
    --------
    >>> @criterion("cubed")
    ... def cubed(context, name, array):
    ...     '''Third power of the absolute weight.'''
    ...     return abs(array) ** 3
    """

    def register(function: Scorer) -> Scorer:
        made = wrap(function, name, needs=needs, per=per)
        _CRITERIA[name] = replace(made, norm=norm, cost_weight=cost_weight, reconstruct=reconstruct)
        return function

    return register


def wrap(
    function: Scorer,
    name: str = "",
    *,
    needs: Iterable[str] = (),
    per: Per = "element",
) -> Criterion:
    """A plain function as a criterion, without registering it."""
    lines = (inspect.getdoc(function) or "").strip().splitlines()
    called = name or getattr(function, "__name__", "function")
    return Criterion(called, function, lines[0] if lines else "", tuple(needs), per)


def criteria() -> dict[str, Criterion]:
    """The registered criteria by name, in alphabetical order."""
    return dict(sorted(_CRITERIA.items()))


def find(name: str | Criterion | Scorer) -> Criterion:
    """Look a criterion up.

    Parameters
    ----------
    name : str, Criterion or callable
        A registered name; a `Criterion` or a function of an element-wise criterion is taken as
        it is.

    Raises
    ------
    InfeasibleTarget
        No criterion has this name; the message lists the nearest ones.
    """
    if isinstance(name, Criterion):
        return name
    if callable(name):
        return wrap(name)
    if isinstance(name, str) and name in _CRITERIA:
        return _CRITERIA[name]
    near = difflib.get_close_matches(str(name), _CRITERIA, n=3)
    hint = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    known = ", ".join(sorted(_CRITERIA))
    raise InfeasibleTarget(f"there is no criterion {name!r}: {hint}Known criteria: {known}")
