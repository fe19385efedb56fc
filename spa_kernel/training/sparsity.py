"""Group sparsity: a penalty that makes whole coupled channels small, to be pruned later."""

from __future__ import annotations

from functools import reduce
from math import isfinite, prod
from typing import TYPE_CHECKING, Any

import numpy as np

from spa_kernel.coupling.result import Coupling, Group
from spa_kernel.errors import InfeasibleTarget
from spa_kernel.importance.aggregate import columns, labelled
from spa_kernel.plan.choose import Choice, matching

if TYPE_CHECKING:
    import torch

    from spa_kernel.session import Session


def sparsity(session: Session, strength: float = 1e-4, groups: Choice = None) -> Sparsity:
    """A penalty for the loss of one's own training: ``(loss + penalty()).backward()``.

    Parameters
    ----------
    session : Session
        Of a torch module.
    strength : float
        Factor of the penalty, 0 or more.
    groups : str, Group or iterable of these, optional
        Ids, names or globs: only these groups.

    Returns
    -------
    Sparsity
        Call it in every step; it follows the prunes and undos of the session.

    Raises
    ------
    InfeasibleTarget
        The model is not a torch module, a name is unknown, or none of the groups can be pruned.

    Examples
    --------
    >>> penalty = spa.sparsity(session, strength=1e-4)  # doctest: +SKIP
    >>> (loss + penalty()).backward()  # doctest: +SKIP
    """
    return Sparsity(session, strength, groups)


class Sparsity:
    """Group lasso over coupled channels; made by `sparsity`.

    ``strength * sum over groups, sum over channels c of sqrt(n_c) * ||theta_c||_2``

    with theta_c all n_c elements of parameters that go together with channel c. The group lasso
    is that of Yuan & Lin (2006), on structures of a network as in Wen et al. (arXiv 1608.03665),
    here over coupled channels as in DepGraph (arXiv 2301.12900). As in the scores, an element
    counts once for each axis by which a channel reaches it. Where all of theta_c is zero, the
    subgradient is zero. Groups that cannot be pruned are left alone.
    """

    def __init__(self, session: Session, strength: float, groups: Choice = None) -> None:
        if session.framework != "torch":
            raise InfeasibleTarget(
                f"a penalty is for training, and {session.name} is a model in "
                f"{session.framework}: analyse the torch module instead"
            )
        if isinstance(strength, bool) or not isfinite(strength) or strength < 0:
            raise InfeasibleTarget(f"strength={strength!r}: use 0 or more, such as 1e-4")
        self.session, self.strength, self.choice = session, strength, groups
        self._groups: list[Group] | None = None
        self._index: Index
        self._follow()

    def __call__(self) -> torch.Tensor:
        """The penalty at the model's present weights: a scalar that can be differentiated.

        Raises
        ------
        StaleSession
            The model's structure was changed from outside.
        """
        self.session.backend.check()
        self._follow()
        return self._index.penalty(self.session.model) * self.strength

    def _follow(self) -> None:
        """Build the index anew if the model has been pruned since, or a prune was undone."""
        coupling = self.session.analysis.coupling
        if self._groups is coupling.groups:
            return
        chosen = coupling.groups
        if self.choice is not None:
            named = matching(chosen, self.choice, "groups", members=False)
            chosen = list({group.id: group for hits in named for group in hits}.values())
        live = [group for group in chosen if group.prunable]
        if not live:
            why = f": {chosen[0].id} cannot go, {chosen[0].reason}" if chosen else ""
            raise InfeasibleTarget(f"there is no channel that could be made sparse{why}")
        self._index = Index(coupling, live)
        self._groups = coupling.groups


class Index:
    """Where the elements of each channel lie, as index tensors.

    Every labelled axis of every parameter is reduced to one sum of squares per index; ``rows``
    picks from all of these, one after the other, and ``channels`` says where each is added.
    """

    def __init__(self, coupling: Coupling, groups: list[Group]) -> None:
        place = np.full(coupling.count, -1)
        labels = np.concatenate([group.labels for group in groups])
        place[labels] = np.arange(len(labels))
        self.parameters: list[tuple[list[str], list[int]]] = []
        rows, channels = [], []
        sizes, start = np.zeros(len(labels)), 0
        for value, axes in labelled(coupling):
            used = []
            for axis in axes:
                found = []
                for column, fresh in columns(coupling.axes[value, axis]):
                    index = np.arange(value.shape[axis])[fresh]
                    keep = place[column] >= 0
                    found.append((index[keep], place[column[keep]]))
                if not any(len(index) for index, _ in found):
                    continue
                used.append(axis)
                for index, channel in found:
                    rows.append(start + index)
                    channels.append(channel)
                    elements = prod(value.shape) // value.shape[axis]
                    sizes += np.bincount(channel, minlength=len(sizes)) * elements
                start += value.shape[axis]
            if used:
                self.parameters.append((value.name.split("."), used))
        self.rows, self.channels = np.concatenate(rows), np.concatenate(channels)
        self.weights = np.sqrt(sizes)
        self._device: Any = None

    def penalty(self, model: Any) -> torch.Tensor:
        """The sum over channels, without the strength."""
        import torch

        parts: list[torch.Tensor] = []
        for path, axes in self.parameters:
            tensor: torch.Tensor = reduce(getattr, path, model)
            squares = tensor.square() if tensor.dtype.itemsize > 2 else tensor.float().square()
            others = [axis for axis in range(tensor.ndim) if axis not in axes]
            # Axes without channels are summed once for all, so that what is left is small.
            small = squares.sum(others) if others else squares
            for at in range(len(axes)):
                rest = [other for other in range(len(axes)) if other != at]
                parts.append(small.sum(rest) if rest else small)
        self._move(parts[0].device, parts[0].dtype)
        sums = torch.cat([part.to(self._device) for part in parts])
        total = torch.zeros(len(self.weights), device=self._device, dtype=sums.dtype)
        total = total.index_add(0, self._channels, sums[self._rows])
        # The square root has no derivative at zero.
        some = total > 0
        norms = torch.where(some, total, 1.0).sqrt() * some
        return norms @ self._weights.to(norms.dtype)

    def _move(self, device: torch.device, dtype: torch.dtype) -> None:
        import torch

        if self._device != device:
            self._rows, self._channels = (
                torch.from_numpy(array).to(device) for array in (self.rows, self.channels)
            )
            self._weights = torch.from_numpy(self.weights).to(device, dtype)
            self._device = device
