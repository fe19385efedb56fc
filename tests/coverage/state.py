"""Everything about a model that a prune and its undo must bring back."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import nn

PLAIN = (bool, int, float, str, type(None))


def plain(value: Any) -> Any:
    """A value with its exact types, where it consists of plain ones; else only its identity."""
    if isinstance(value, tuple | list):
        return type(value), [plain(v) for v in value]
    return (type(value), value) if isinstance(value, PLAIN) else (type(value), id(value))


def content(tensor: torch.Tensor) -> str:
    raw = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return hashlib.blake2b(raw.data, digest_size=16).hexdigest()


def state(model: nn.Module) -> dict[str, Any]:
    """Tensors with identity, bytes, strides and flags; attributes, modes, hooks, config fields."""
    found: dict[str, Any] = {}
    tensors = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    for name, t in tensors:
        about = tuple(t.shape), t.stride(), t.dtype, t.device, t.requires_grad, type(t)
        found[f"tensor {name}"] = id(t), about, content(t) if t.numel() else ""
    for name, module in model.named_modules():
        for key, value in vars(module).items():
            if key not in ("_parameters", "_buffers", "_modules"):
                hooks = isinstance(value, dict)
                found[f"{name}.{key}"] = list(value.items()) if hooks else plain(value)
    config = getattr(model, "config", None)
    for key, value in vars(config).items() if hasattr(config, "__dict__") else ():
        found[f"config {key}"] = plain(value)
    return found


def differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Names of what is not the same in two states."""
    return [k for k in {**before, **after} if before.get(k, ...) != after.get(k, ...)]
