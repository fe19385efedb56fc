"""Whole numbers that modules hold as attributes: watched while recording, repaired afterwards.

Also those inside tuples, lists, dictionaries and settings objects (a ``config``) that an
attribute refers to, and those that a function or a ``partial`` among the attributes was made with.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn

from spa_kernel.frontends.torch.tracked import EQUALS, TrackedInt
from spa_kernel.graph.ir import Kind
from spa_kernel.graph.sizes import Attr
from spa_kernel.surgery.journal import Journal

INTERNAL = frozenset(vars(nn.Module()))
"""What every module has: flags, hooks, and its parts."""

NUMBERS = int, float, str, bytes, complex, type(None), torch.dtype, torch.device, np.generic, Enum
CODE = type, FunctionType, BuiltinFunctionType, partial
PLAIN = (*NUMBERS, *CODE)
DEPTH = 4
Path = tuple[int | str, ...]


def entries(value: Any) -> dict[Any, Any] | None:
    """The named entries of a dictionary or an object, to be read and written in place."""
    if type(value) is dict:
        return value
    if isinstance(value, partial):
        return value.keywords
    found = getattr(value, "__dict__", None)
    return found if type(found) is dict else None


def plain(value: Any, depth: int = DEPTH) -> bool:
    """Whether a value is a setting: numbers, words, functions, and containers of them."""
    if isinstance(value, PLAIN):
        return True
    if depth == 0 or isinstance(value, nn.Module | torch.Tensor):
        return False
    if isinstance(value, list | tuple):
        return all(plain(v, depth - 1) for v in value)
    inner = entries(value)
    return inner is not None and all(plain(v, depth - 1) for v in inner.values())


@dataclass
class Watch:
    """Puts tracked numbers in the place of plain ones, and remembers how to take that back."""

    undo: list[tuple[Any, Any, Any]] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)

    def module(self, owner: str, module: nn.Module) -> None:
        attributes = vars(module)
        for name, value in list(attributes.items()):
            kind = type(value)
            if kind is int:
                if value > 1:
                    self._put(attributes, name, TrackedInt(value, Attr(owner, name, (), value)))
            elif kind is not bool and value is not None and name not in INTERNAL:
                self._put(attributes, name, self.tracked(value, owner, name, ()))

    def _put(self, container: Any, key: Any, value: Any) -> None:
        if container[key] is not value:
            self.undo.append((container, key, container[key]))
            container[key] = value

    def tracked(self, value: Any, owner: str, name: str, path: Path) -> Any:
        """The value to stand in for this one; containers that can be written to stay."""
        if type(value) is int or isinstance(value, np.integer):
            # Nothing of size 1 can be pruned.
            number = int(value)
            return TrackedInt(number, Attr(owner, name, path, number)) if number > 1 else value
        if isinstance(value, (*NUMBERS, type, torch.Tensor, nn.Module)) or len(path) == DEPTH:
            return value
        if isinstance(value, tuple | FunctionType):
            # These cannot be written to, or should not: copies of the model may share them.
            old = items(value)
            new = {k: self.tracked(v, owner, name, (*path, k)) for k, v in old.items()}
            return value if all(new[k] is v for k, v in old.items()) else rebuilt(value, new)
        if id(value) in self.seen or (not isinstance(value, list) and not plain(value)):
            return value
        self.seen.add(id(value))
        inner = value if isinstance(value, list) else entries(value)
        pairs = enumerate(inner) if isinstance(inner, list) else list((inner or {}).items())
        for key, item in pairs:
            if isinstance(key, int | str):
                self._put(inner, key, self.tracked(item, owner, name, (*path, key)))
        return value


def items(value: tuple[Any, ...] | FunctionType) -> dict[Any, Any]:
    """Entries of a tuple by index, or what a function has from where it was defined, by name."""
    if isinstance(value, tuple):
        return dict(enumerate(value))
    cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
    return {name: cell.cell_contents for name, cell in cells if cell != CellType()}


def rebuilt(old: Any, new: dict[Any, Any]) -> Any:
    """A tuple or function of the same kind with other items."""
    if isinstance(old, tuple):
        make = getattr(type(old), "_make", type(old))
        return make([new[i] for i in range(len(old))])
    cells = zip(old.__code__.co_freevars, old.__closure__, strict=True)
    closure = tuple(CellType(new[name]) if name in new else cell for name, cell in cells)
    code, names, defaults = old.__code__, old.__globals__, old.__defaults__
    made = FunctionType(code, names, old.__name__, defaults, closure)
    made.__kwdefaults__ = old.__kwdefaults__
    made.__dict__.update(old.__dict__)
    return made


def stored_tensors(model: nn.Module) -> Iterator[tuple[Kind, str, torch.Tensor]]:
    """All tensors of a module: kind, name and tensor, each tensor once."""
    seen: set[int] = set()
    for name, parameter in model.named_parameters():
        seen.add(id(parameter))
        yield "parameter", name, parameter
    for name, buffer in model.named_buffers():
        seen.add(id(buffer))
        yield "buffer", name, buffer
    for owner, module in model.named_modules():
        for name, value in vars(module).items():
            if isinstance(value, torch.Tensor) and id(value) not in seen:
                seen.add(id(value))
                yield "attribute", f"{owner}.{name}" if owner else name, value


def sharing(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Names of parameters that are two objects on one memory."""
    known: dict[tuple[torch.device, int], str] = {}
    for name, tensor in model.named_parameters():
        if tensor.numel() and tensor.device.type != "meta" and tensor.layout is torch.strided:
            other = known.setdefault((tensor.device, tensor.data_ptr()), name)
            if other != name:
                yield other, name


@contextmanager
def tracked_attributes(model: nn.Module) -> Iterator[None]:
    """Replace whole numbers in attributes of all modules by tracked ones for a while."""
    watch = Watch()
    EQUALS.clear()
    try:
        for owner, module in model.named_modules():
            watch.module(owner, module)
        yield
    finally:
        for container, key, value in reversed(watch.undo):
            container[key] = value


def assign(module: nn.Module, attr: Attr, value: int, journal: Journal) -> None:
    """Give an attribute, or the number in it that ``attr`` means, its new value."""
    _put(
        vars(module),
        attr.name,
        _changed(vars(module)[attr.name], attr.path, value, journal),
        journal,
    )


def _put(container: Any, key: Any, new: Any, journal: Journal) -> None:
    if container[key] is not new:
        journal.set(container, key, new)


def _changed(old: Any, path: Path, value: int, journal: Journal) -> Any:
    """What is to stand in the place of ``old``: itself, where it can be written to."""
    if not path:
        return old if old == value else type(old)(value)
    key, rest = path[0], path[1:]
    if isinstance(old, tuple | FunctionType):
        inner = items(old)
        new = _changed(inner[key], rest, value, journal)
        return old if new is inner[key] else rebuilt(old, {**inner, key: new})
    container: Any = old if isinstance(old, list) else entries(old)
    _put(container, key, _changed(container[key], rest, value, journal), journal)
    return old
