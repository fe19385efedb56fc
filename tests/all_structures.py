"""All small networks, ready for use, and batches for them."""

from __future__ import annotations

from typing import Any

import structure_networks  # noqa: F401 (they register)
import token_structures  # noqa: F401
import torch
from reference import call, ordinary
from structures import STRUCTURES
from torch import nn
from torch.utils import _pytree

__all__ = ["STRUCTURES", "batches", "built", "output", "tensors"]


def built(name: str) -> tuple[nn.Module, Any]:
    """A network with weights of ordinary size, in evaluation mode, and its example inputs."""
    model, inputs = STRUCTURES[name]()
    return ordinary(model).eval(), inputs


def batches(inputs: Any, count: int = 4, times: int = 4, seed: int = 0) -> list[Any]:
    """Batches of normal random numbers, ``times`` as large as the example."""
    generator = torch.Generator().manual_seed(seed)

    def draw(x: torch.Tensor) -> torch.Tensor:
        return torch.randn((times * len(x), *x.shape[1:]), generator=generator).to(x)

    return [_pytree.tree_map(draw, inputs) for _ in range(count)]


def tensors(value: Any) -> list[torch.Tensor]:
    return [t for t in _pytree.tree_leaves(value) if isinstance(t, torch.Tensor)]


def output(model: nn.Module, batch: Any) -> list[torch.Tensor]:
    """A copy of all that the model gives."""
    with torch.no_grad():
        return [t.clone() for t in tensors(call(model, batch))]
