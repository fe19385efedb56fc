"""Operators that nobody described, to be tried out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import library

Tensor = torch.Tensor
CALLS: dict[str, int] = {}


def scaled(x: Tensor, weight: Tensor) -> Tensor:
    return x * weight.view(-1, *[1] * (x.ndim - 2))


def by_place(x: Tensor) -> Tensor:
    return x * torch.linspace(1, 2, x.shape[1]).to(x).view(-1, 1, 1)


def folded(x: Tensor) -> Tensor:
    """Every channel by itself, but one of them is chosen by its number."""
    y = x.clone()
    y[:, 3:4] = y[:, 3:4] ** 2
    return y


def rarely(x: Tensor) -> Tensor:
    """Entry by entry, unless a number is large."""
    return x - x.mean(1, keepdim=True) if x.abs().max() > 6 else x.tanh()


def now_and_then(x: Tensor) -> Tensor:
    CALLS["now_and_then"] = CALLS.get("now_and_then", 0) + 1
    return x * CALLS["now_and_then"]


def failing(x: Tensor) -> Tensor:
    raise RuntimeError("no such kernel\nsecond line")


def wide_only(x: Tensor) -> Tensor:
    assert x.shape[1] == 8, "made for 8 channels"
    return x.tanh()


def noisy(x: Tensor) -> Tensor:
    return x + torch.rand_like(x) * random.random() * np.random.rand()


def leaking(x: Tensor) -> Tensor:
    """A little of the neighbour's value is let through."""
    return x + 1e-9 * x.roll(1, 1)


FORMS: dict[str, Callable[..., Tensor]] = {
    "entries": lambda x: x * x.sigmoid() + 1,
    "odd": lambda x: x.sinh().clamp(-5, 5),
    "scaled": scaled,
    "normalised": lambda x: x / x.norm(dim=1, keepdim=True),
    "reversed": lambda x: x.flip(1),
    "rolled": lambda x: x.roll(2, 1),
    "running": lambda x: x.cumsum(1),
    "mixing": lambda x: x + x.mean(1, keepdim=True),
    "sorted": lambda x: x.sort(1)[0],
    "by_place": by_place,
    "chosen": folded,
    "by_count": lambda x: x / x.shape[1],
    "by_parity": lambda x: x if x.shape[1] % 2 == 0 else -x,
    "by_one": lambda x: x if x.shape[1] > 1 else -x,
    "nonzero_share": lambda x: x * (x != 0).double().mean(1, keepdim=True).to(x),
    "rarely": rarely,
    "now_and_then": now_and_then,
    "failing": failing,
    "wide_only": wide_only,
    "noisy": noisy,
    "leaking": leaking,
    "single": lambda x: x.tanh() if x.dtype == torch.float64 else x - x.mean(1, keepdim=True),
    "constant": lambda x: torch.ones_like(x),
    "root": lambda x: x.sqrt(),
    "positions": lambda x: x.mean((2, 3), keepdim=True) * x,
    "transposed": lambda x: x.transpose(0, 1).contiguous(),
    "product": lambda x, w: x @ w.transpose(0, 1),
    "affine": lambda x, w, b: x @ w.transpose(0, 1) + b,
    "direction": lambda x, w: x @ (w / w.norm(dim=1, keepdim=True)).transpose(0, 1),
    "share": lambda x, w: x @ w.transpose(0, 1) / x.shape[1],
    "three": lambda x, w, s: (x * s) @ w.transpose(0, 1),
    "total": lambda x: x.sum(1),
    "squares": lambda x: (x * x).sum(1).sqrt(),
    "average": lambda x: x.mean(1),
    "chosen_rows": lambda x, i: x[:, i],
}
ARGUMENTS = {"x": "Tensor x", "i": "Tensor i"}


@contextmanager
def declared() -> Iterator[None]:
    """Each form as an operator of its own, with shapes for meta tensors."""
    made = library.Library("trial", "DEF")
    for name, function in FORMS.items():
        code = function.__code__
        names = code.co_varnames[: code.co_argcount]
        made.define(f"{name}({', '.join(f'Tensor {n}' for n in names)}) -> Tensor")
        made.impl(name, lambda *a, f=function: f(*a).clone(), "CPU")
        shape = shape_of(name)
        made.impl(name, lambda *a, s=shape: a[0].new_empty(s(*a)), "Meta")
    made.define("write(Tensor(a!) x) -> ()")
    made.impl("write", lambda x: (x.mul_(2), None)[1], "CPU")
    made.impl("write", lambda x: None, "Meta")
    made.define("double_(Tensor(a!) x) -> Tensor(a!)")
    made.impl("double_", lambda x: x.mul_(2), "CPU")
    made.impl("double_", lambda x: x, "Meta")
    made.define("padded(Tensor x, int n, Tensor[] more) -> Tensor[]")
    made.impl("padded", lambda x, n, more: [x + n, more[0] * x], "CPU")
    made.impl("padded", lambda x, n, more: [torch.empty_like(x)] * 2, "Meta")
    made.define("einsum(str equation, Tensor[] x) -> Tensor")
    made.impl("einsum", lambda e, x: torch.einsum(e, *x), "CPU")
    made.impl("einsum", lambda e, x: torch.einsum(e, *x), "Meta")
    # As long as the library of the namespace is known by its first four letters.
    four = library.Library("four", "DEF")
    four.define("relu(Tensor x) -> Tensor")
    four.impl("relu", lambda x: x.flip(1), "CPU")
    four.impl("relu", lambda x: torch.empty_like(x), "Meta")
    yield
    del made, four


def shape_of(name: str) -> Callable[..., Any]:
    if name in ("product", "affine", "direction", "share", "three"):
        return lambda x, w, *_: (len(x), len(w))
    if name in ("total", "squares", "average"):
        return lambda x: (x.shape[0], *x.shape[2:])
    if name == "transposed":
        return lambda x: (x.shape[1], x.shape[0], *x.shape[2:])
    if name == "chosen_rows":
        return lambda x, i: (len(x), len(i))
    return lambda x, *_: x.shape
