"""Functions that torch takes apart further than the standard graph does."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import _disable_current_modes

from spa_kernel.frontends.torch.literals import argument
from spa_kernel.frontends.torch.meta import like
from spa_kernel.frontends.torch.recorder import Recorder
from spa_kernel.graph.ir import Node, Value


def rms_norm(recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
    """One node; below it there are squares, a mean, and a root."""
    x = args[0] if args else kwargs["input"]
    shape = argument(args, kwargs, 1, "normalized_shape", ())
    weight = argument(args, kwargs, 2, "weight", None)
    if recorder.real:
        with _disable_current_modes():
            out = torch.rms_norm(*args, **kwargs)
    else:
        out = like(x)
    operands = tuple(recorder.operand(t) if t is not None else None for t in (x, weight))
    value = Value(f"rms_norm_{len(recorder.graph.nodes)}", tuple(out.shape))
    attrs = {"axis": x.ndim - len(shape)}
    node = Node("RMSNormalization", operands, (value,), attrs, recorder.module, recorder.source())
    recorder.add(node)
    recorder.know(out, value)
    return out


NORMS = {torch.rms_norm: rms_norm, F.rms_norm: rms_norm}
