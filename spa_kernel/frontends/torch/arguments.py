"""The arguments of ATen calls."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any
from zlib import crc32

import torch

from spa_kernel.frontends.torch.content import Content


def short(func: Any) -> str:
    """An operator's name, without ``aten::``; others keep the name of their library."""
    name: str = func._schema.name
    return name.removeprefix("aten::")


@cache
def signature(func: Any) -> tuple[tuple[tuple[str, Any], ...], bool]:
    """Names and defaults of an operator's arguments, and whether it returns views of the first."""
    schema = func._schema
    names = tuple(
        (a.name, a.default_value if a.has_default_value() else None) for a in schema.arguments
    )
    views = any(r.alias_info is not None and not r.alias_info.is_write for r in schema.returns)
    return names, views


def flat(value: Any) -> list[torch.Tensor]:
    """The tensors in an argument (a tensor, or a list of tensors or None)."""
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, list | tuple) and value and type(value[0]) is not int:
        return [t for v in value for t in flat(v)]
    return []


def substitute(value: Any, swap: dict[int, torch.Tensor]) -> Any:
    """The same arguments with some tensors replaced."""
    if isinstance(value, torch.Tensor):
        return swap.get(id(value), value)
    if isinstance(value, dict):
        return {k: substitute(v, swap) for k, v in value.items()}
    if isinstance(value, list | tuple) and value and type(value[0]) is not int:
        return type(value)(substitute(v, swap) for v in value)
    return value


def plain(value: Any, live: Callable[[torch.Tensor], bool]) -> Any:
    """An argument for comparison: numbers, and constants by their content.

    Parameters
    ----------
    value
    live : callable
        Whether a tensor depends on inputs or weights.
    """
    if isinstance(value, torch.Tensor):
        if live(value) or value.device.type == "meta":
            return "tensor"
        if value.numel() == 1:
            return float(value)
        entries = value.detach().cpu().contiguous()
        content = entries.view(torch.uint8).numpy().tobytes()
        exact = entries.double() if entries.is_floating_point() else entries
        return Content(f"constant {crc32(content)}", exact.numpy())
    if isinstance(value, list | tuple):
        if value and type(value[0]) is int:
            return tuple(value)
        return tuple(plain(v, live) for v in value)
    return value
