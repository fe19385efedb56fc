"""What is asked of one call of a layer, whatever is made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Called:
    """A layer and the symbolic tensors that it takes and makes.

    Attributes
    ----------
    layer : keras.Layer or keras.Operation
    inputs : sequence
        Each has its tensor in ``real``.
    reals : sequence of tensors
        Outputs.
    """

    layer: Any
    inputs: Sequence[Any]
    reals: Sequence[Any]

    @property
    def rank(self) -> int:
        """Of the first input."""
        return len(self.inputs[0].real.shape)

    @property
    def last(self) -> bool:
        """Whether channels are the last axis of images."""
        return bool(getattr(self.layer, "data_format", "channels_last") == "channels_last")
