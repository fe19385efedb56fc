"""A model's tensors are put back, bit for bit, after what a forward writes into them."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import NamedTuple

import torch
from torch import nn

from spa_kernel.frontends.torch.attributes import stored_tensors
from spa_kernel.frontends.torch.capture import tensors_in


class Copy(NamedTuple):
    """A tensor, the memory that it had, what was in it, and how often it had been written to."""

    tensor: torch.Tensor
    memory: torch.Tensor
    content: torch.Tensor
    version: int


class Kept:
    """The content of a model's parameters, buffers and other tensors, to be put back.

    BatchNorm in training writes its running statistics, an embedding with ``max_norm`` its
    weights; forwards are free to do so with any tensor.
    """

    def __init__(self, model: nn.Module) -> None:
        self._copies = [
            Copy(t, t.data, t.detach().clone(), version(t))
            for t in tensors_of(model)
            if t.layout is torch.strided
        ]

    def restore(self) -> None:
        """Put everything back; what was not written to is not written to here either."""
        for i, (tensor, memory, content, before) in enumerate(self._copies):
            if tensor.dtype is not memory.dtype or tensor.data_ptr() != memory.data_ptr():
                tensor.data = memory
            # Writes through ``.data`` are not counted, and zeros of either sign are equal.
            if version(tensor) != before or not torch.equal(memory, content):
                memory.copy_(content)
                self._copies[i] = Copy(tensor, memory, content, version(tensor))

    def __enter__(self) -> Kept:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.restore()


def tensors_of(model: nn.Module) -> Iterable[torch.Tensor]:
    """All tensors of a module, also those in its lists and dictionaries (caches); each once."""
    found = {id(t): t for _, _, t in stored_tensors(model)}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, list | tuple | dict):
                found.update((id(t), t) for t in tensors_in(value))
    return found.values()


def version(tensor: torch.Tensor) -> int:
    """How often a tensor was written to, where that is counted."""
    return 0 if tensor.is_inference() else tensor._version
