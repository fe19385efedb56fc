"""What random networks are made of: a registry of makers, and helpers to write them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

WIDTHS = (2, 3, 4, 6, 8, 12)
WIDEST, LONGEST = 32, 64


@dataclass(frozen=True)
class Kind:
    """What a tensor is: an ``image`` (b, width, size, size), ``tokens`` (b, size, width), or a
    ``vector`` (b, width)."""

    form: str
    size: int
    width: int

    def wide(self, width: int) -> Kind:
        return replace(self, width=width)

    def sized(self, size: int, width: int) -> Kind:
        return replace(self, size=size, width=width)


Made = tuple[nn.Module, list[int], list[Kind]]
"""A layer, the numbers of its operands among the tensors so far, and what it makes."""
Maker = Callable[["Choice"], "Made | None"]

MAKERS: dict[str, tuple[str, Maker]] = {}
"""By name: the form of the first operand, and the maker."""


def maker(form: str) -> Callable[[Maker], Maker]:
    def register(make: Maker) -> Maker:
        assert make.__name__ not in MAKERS
        MAKERS[make.__name__] = form, make
        return make

    return register


@dataclass(frozen=True)
class Choice:
    """One step: the tensors so far, the first operand, and two numbers to choose options by."""

    kinds: list[Kind]
    first: int
    b: int
    c: int

    @property
    def kind(self) -> Kind:
        return self.kinds[self.first]

    @property
    def width(self) -> int:
        return self.kind.width

    @property
    def new(self) -> int:
        """Another width."""
        return WIDTHS[self.b % len(WIDTHS)]

    def partner(self, number: int, **same: int) -> int | None:
        """Another tensor of the same form and size, perhaps of equal width."""
        like = [
            i
            for i, k in enumerate(self.kinds)
            if i != self.first
            and (k.form, k.size) == (self.kind.form, self.kind.size)
            and k.width == same.get("width", k.width)
        ]
        return like[-1 - number % len(like)] if like else None

    def one(self, layer: nn.Module, width: int | None = None) -> Made:
        """A layer of the first operand, which keeps all but perhaps the width."""
        return layer, [self.first], [self.kind.wide(self.width if width is None else width)]

    def pick(self, options: Any, number: int) -> Any:
        return options[number % len(options)]


class Apply(nn.Module):
    """A function of tensors, with layers, numbers and buffers as attributes."""

    def __init__(self, function: Callable[..., Any], layers: Any = None, **extra: Any) -> None:
        super().__init__()
        self.function = function
        self.layers = nn.ModuleList(layers) if isinstance(layers, list) else layers
        for name, value in extra.items():
            if isinstance(value, torch.Tensor) and not isinstance(value, nn.Parameter):
                self.register_buffer(name, value)
            else:
                setattr(self, name, value)

    def forward(self, *tensors: torch.Tensor) -> Any:
        return self.function(self, *tensors)


def divisor(of: int, also: int, choice: int) -> int:
    """A common divisor, larger than 1 where there is one."""
    found = [d for d in range(2, of + 1) if of % d == 0 and also % d == 0]
    return found[choice % len(found)] if found else 1


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape))
