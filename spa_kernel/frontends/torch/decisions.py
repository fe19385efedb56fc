"""What a forward decides by looking at values: numbers, masks, and how many entries are found.

Such decisions belong to the example input. A second recording of the same forward, on weights
that have changed meanwhile, takes the decisions of the first one over; otherwise it might find
another number of entries, or take another branch, and the two could not be compared.
"""

from __future__ import annotations

from typing import Any

import torch

from spa_kernel.frontends.torch.arguments import flat, substitute

TAGS = {torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output}
WHOLE = {torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}


def decides(func: Any, result: Any) -> bool:
    """Whether a call's outcome has a size, or is a number, that depends on values.

    Calls outside of ATen do not say so themselves: those that return whole numbers select.
    """
    if TAGS.intersection(func.tags):
        return True
    return not func._schema.name.startswith("aten::") and whole(result)


def whole(result: Any) -> bool:
    """Whether a result is made of numbers, whole numbers and truth values."""
    results = result if isinstance(result, tuple | list) else (result,)
    return all(not isinstance(r, torch.Tensor) or r.dtype in WHOLE for r in results)


class Decisions:
    """The decisions of one recording, in order, and those of an earlier one to be taken over.

    Parameters
    ----------
    earlier : Decisions, optional
    """

    def __init__(self, earlier: Decisions | None = None) -> None:
        self.taken: list[tuple[str, Any]] = []
        self.numbers: list[float] = []
        """Fractions that the code asked for, as they came out here."""
        self.places: dict[str, None] = {}
        """Where decisions were taken, each once, in order."""
        self._earlier = list(earlier.taken) if earlier is not None else []

    def run(self, func: Any, args: Any, kwargs: Any) -> tuple[Any, bool]:
        """Carry a call out, with what it decides taken over; and whether it decides anything.

        The content of masks settles how long a result is.
        """
        name: str = func._schema.name
        if torch.Tag.dynamic_output_shape in func.tags:
            masks = [t for a in (*args, *kwargs.values()) for t in flat(a) if t.dtype in WHOLE]
            swap = {id(t): self._mask(name, t) for t in masks}
            args, kwargs = substitute(args, swap), substitute(kwargs, swap)
        result = func(*args, **kwargs)
        decided = decides(func, result)
        if decided and whole(result):
            if isinstance(result, float):
                self.numbers.append(result)
            result = self._next(name, result)
        return result, decided

    def _next(self, name: str, own: Any) -> Any:
        """The earlier recording's decision at this place, if it made one of this kind."""
        at = len(self.taken)
        if at < len(self._earlier) and self._earlier[at][0] == name:
            own = self._earlier[at][1]
        self.taken.append((name, own))
        return own

    def _mask(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        kept: torch.Tensor = self._next(name, tensor)
        return kept if kept.shape == tensor.shape else tensor
