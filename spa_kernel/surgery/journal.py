"""Changes to a torch model that can be taken back: tensors, gradients, attributes, optimizer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from spa_kernel.frontends.backend import Change
from spa_kernel.interrupts import uninterrupted


def set_data(tensor: torch.Tensor, data: torch.Tensor) -> None:
    """Give a tensor new content of another shape; it stays the same object.

    Going through another type makes autograd forget the old shape, which it keeps in the
    gradient accumulator for as long as an old loss is alive.
    """
    if tensor.requires_grad:
        other = torch.float64 if tensor.dtype != torch.float64 else torch.float32
        tensor.data = torch.empty(0, dtype=other, device=tensor.device)
    tensor.data = data


@dataclass(eq=False, slots=True)
class Replaced:
    """A tensor that got another shape: the old storage is kept as it is, without a copy."""

    tensor: torch.Tensor
    data: torch.Tensor
    grad: torch.Tensor | None

    def swap(self) -> None:
        """Exchange the content kept here with that of the tensor."""
        data, grad = self.tensor.data, self.tensor.grad
        self.tensor.grad = None
        set_data(self.tensor, self.data)
        self.tensor.grad = self.grad
        self.data, self.grad = data, grad

    @property
    def nbytes(self) -> int:
        return self.data.nbytes + (self.grad.nbytes if self.grad is not None else 0)


@dataclass(eq=False, slots=True)
class Copied:
    """A tensor that kept its shape: copies of its content and gradient at the time of the prune."""

    tensor: torch.Tensor
    data: torch.Tensor
    grad: torch.Tensor | None

    def swap(self) -> None:
        if self.tensor.is_leaf:
            grad, self.tensor.grad = self.tensor.grad, self.grad
            self.grad = grad
        if not torch.equal(self.data, self.tensor.data):
            data = self.tensor.data.clone()
            self.tensor.data.copy_(self.data)
            self.data = data

    @property
    def nbytes(self) -> int:
        return self.data.nbytes + (self.grad.nbytes if self.grad is not None else 0)


@dataclass(eq=False, slots=True)
class Entry:
    """An entry of a dictionary (a module's attributes, an optimizer's state)."""

    owner: dict[Any, Any]
    key: Any
    value: Any

    def swap(self) -> None:
        value = self.owner[self.key]
        self.owner[self.key] = self.value
        self.value = value

    @property
    def nbytes(self) -> int:
        return self.value.nbytes if isinstance(self.value, torch.Tensor) else 0


@dataclass(eq=False, slots=True)
class Contents:
    """A dictionary whose entries may come and go: an optimizer's state."""

    owner: Any
    entries: dict[Any, Any]

    def swap(self) -> None:
        present = dict(self.owner)
        self.owner.clear()
        self.owner.update(self.entries)
        self.entries = present

    @property
    def nbytes(self) -> int:
        return 0


@dataclass(eq=False)
class Journal(Change):
    """What a prune did; every entry exchanges "before" with "after" when swapped."""

    entries: list[Replaced | Copied | Entry | Contents] = field(default_factory=list)
    after: Callable[[], None] | None = None

    def replace(self, tensor: torch.Tensor, data: torch.Tensor, grad: torch.Tensor | None) -> None:
        """Give a tensor another content, and note the old one."""
        self._do(Replaced(tensor, data, grad))

    def keep(self, tensor: torch.Tensor, data: torch.Tensor) -> None:
        """Note a copy of a tensor's present content, and its gradient."""
        grad = tensor.grad if tensor.is_leaf else None
        self.entries.append(Copied(tensor, data, None if grad is None else grad.clone()))

    def remember(self, owner: Any) -> None:
        """Note which entries a dictionary has, and those of the dictionaries in it."""
        for inner in owner.values():
            self.entries.append(Contents(inner, dict(inner)))
        self.entries.append(Contents(owner, dict(owner)))

    def set(self, owner: dict[Any, Any], key: Any, value: Any) -> None:
        """Change an entry of a dictionary, and note the old one."""
        self._do(Entry(owner, key, value))

    def _do(self, entry: Replaced | Entry) -> None:
        entry.swap()
        self.entries.append(entry)

    def undo(self) -> None:
        self._swap(reversed(self.entries))

    def redo(self) -> None:
        self._swap(self.entries)

    def _swap(self, entries: Iterable[Replaced | Copied | Entry | Contents]) -> None:
        with uninterrupted(), torch.no_grad():
            for entry in entries:
                entry.swap()
            if self.after:
                self.after()

    @property
    def nbytes(self) -> int:
        return sum(entry.nbytes for entry in self.entries)
