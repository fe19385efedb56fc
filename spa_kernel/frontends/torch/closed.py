"""Calls that are recorded whole: below them torch writes into memory of its own, bit by bit."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from spa_kernel.frontends.torch import recurrent
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.graph.ir import Node, Value

PAD = torch._C._nn.pad


def is_closed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call is recorded whole."""
    if func is PAD:
        return not kwargs and len(args) > 2 and args[2] == "circular"
    return func in recurrent.CALLS and not kwargs


def record(recorder: Recorder, func: Any, args: tuple[Any, ...]) -> Any:
    """Record such a call, and make its outputs."""
    return circular(recorder, args) if func is PAD else recurrent.record(recorder, func, args)


def circular(recorder: Recorder, args: tuple[Any, ...]) -> torch.Tensor:
    """Padding with the entries of the other end: along positions, for each channel alone."""
    x, amounts = args[:2]
    where = recorder.module, recorder.source()
    with _disable_current_modes():
        here = x if recorder.real else torch.empty(x.shape, dtype=x.dtype, device="meta")
        out: torch.Tensor = PAD(here, [int(n) for n in amounts], "circular")
    value = Value(f"padded_{len(recorder.graph.nodes)}", tuple(out.shape), dtype=str(x.dtype)[6:])
    attrs = {"spatial": len(amounts) // 2}
    recorder.add(Node("Resize", (recorder.operand(x),), (value,), attrs, *where))
    recorder.know(out, value)
    return out
