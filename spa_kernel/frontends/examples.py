"""What a person passes for an input: an array, or a shape alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from spa_kernel.errors import CaptureError


def is_shape(value: Any) -> bool:
    return isinstance(value, Sequence) and all(isinstance(n, int | np.integer) for n in value)


def array_or_shape(name: str, value: Any) -> np.ndarray | tuple[int, ...]:
    if is_shape(value):
        return tuple(int(n) for n in value)
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    try:
        array = np.asarray(value)
    except (TypeError, ValueError) as error:
        raise CaptureError(f"input {name!r} is neither an array nor a shape: {error}") from error
    if array.dtype == object:
        raise CaptureError(f"input {name!r} is neither an array nor a shape")
    return array
