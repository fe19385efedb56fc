"""Tensors that a forward fills with one number, such as the first state of a recurrence.

Where their size is worked out from an attribute or from another tensor's size, they are as long
as a prune leaves that, and so need not hold on to channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from spa_kernel.frontends.torch.tracked import expression
from spa_kernel.graph.sizes import Const, Expr

ALIKE = {torch.zeros_like, torch.ones_like, torch.full_like, torch.clone, torch.Tensor.clone}
EMPTY = {torch.empty, torch.Tensor.new_empty}
"""Filled with whatever was in memory: to be written to before it is read."""
METHODS = {
    torch.Tensor.new_zeros,
    torch.Tensor.new_ones,
    torch.Tensor.new_full,
    torch.Tensor.new_empty,
}
MAKERS = {torch.zeros, torch.ones, torch.full, *EMPTY, *METHODS, *ALIKE}


class Filled:
    """The tensors of one recording that were made by one of `MAKERS`."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[torch.Tensor, list[Expr], float | None]] = {}

    def note(
        self, func: Any, tensor: torch.Tensor, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Keep the expressions for a tensor's sizes, if any of them is not just a number."""
        if tensor.device.type == "meta" or not tensor.numel():
            return
        if func in ALIKE:
            known = self._known.get(id(args[0])) if args else None
            if known is not None:
                self._keep(tensor, known[1])
            return
        given = list(integers(args[1:] if func in METHODS else args)) or list(
            integers((kwargs.get("size", ()),))
        )
        sizes = [expression(n) for n in given[: tensor.ndim]]
        if len(sizes) == tensor.ndim and not all(isinstance(s, Const) for s in sizes):
            if func in EMPTY:
                self._known[id(tensor)] = tensor, sizes, None
            else:
                self._keep(tensor, sizes)

    def _keep(self, tensor: torch.Tensor, sizes: list[Expr]) -> None:
        first = tensor.flatten()[0]
        if bool((tensor == first).all()):
            self._known[id(tensor)] = tensor, sizes, float(first)
        else:
            self._known.pop(id(tensor), None)

    def changed(self, tensor: torch.Tensor) -> None:
        """Something that is known was written to a tensor: it may be filled with it, or not."""
        known = self._known.get(id(tensor))
        if known is not None:
            self._keep(tensor, known[1])

    def get(self, tensor: torch.Tensor) -> tuple[float | None, list[Expr]] | None:
        """The number that fills a tensor throughout, and its sizes.

        No number for one whose content is undefined.
        """
        known = self._known.get(id(tensor))
        return None if known is None else (known[2], known[1])


def integers(args: tuple[Any, ...]) -> Iterator[int]:
    """The sizes among the arguments: whole numbers, or a list of them."""
    for value in args:
        if isinstance(value, list | tuple):
            yield from (v for v in value if isinstance(v, int))
        elif isinstance(value, int):
            yield value
        elif isinstance(value, torch.Tensor) and value.ndim == 0 and value.device.type != "meta":
            yield int(value)
