"""Inputs changed until BatchNorm layers meet what they have stored of their data."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from math import cos, pi
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from spa_kernel.frontends.torch.capture import tensors_in
from spa_kernel.frontends.torch.passes import Inputs, mapped

STEPS = 5
"""Steps of Adam."""
RATE = 0.1
"""Size of the first step, as a part of an input's deviation."""


def has_statistics(model: nn.Module) -> bool:
    """Whether the model has BatchNorm layers with running statistics."""
    return any(True for _ in norms(model))


def norms(model: nn.Module) -> Iterator[_BatchNorm]:
    """BatchNorm layers with running statistics."""
    for module in model.modules():
        if isinstance(module, _BatchNorm) and module.running_mean is not None:
            yield module


def distilled(model: nn.Module, inputs: Inputs) -> Inputs:
    """The inputs, with the floating point ones changed a little to fit BatchNorm statistics.

    A few steps of Adam on the entries against the squared differences between a batch's means and
    deviations and those stored, in stored deviations; the mean over channels and layers (Yin et
    al. 2020, "Dreaming to Distill", and Cai et al. 2020, "ZeroQ", use such a loss). Inputs on
    which the model cannot be differentiated come back as they are.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode. The forward may write into its buffers.
    inputs : tuple
        (args, kwargs).
    """
    with (
        torch.enable_grad(),
        frozen(model),
        differences(model) as found,
    ):
        moves = [
            (torch.zeros_like(t).requires_grad_(), float(t.double().std(correction=0)) or 1.0)
            for t in tensors_in(inputs)
            if t.is_floating_point() and t.numel()
        ]
        if not moves:
            return inputs
        adam = torch.optim.Adam([move for move, _ in moves], betas=(0.9, 0.99))
        for step in range(STEPS):
            adam.param_groups[0]["lr"] = RATE * (1 + cos(pi * step / STEPS)) / 2
            found.clear()
            args, kwargs = changed(inputs, moves)
            model(*args, **kwargs)
            if not any(d.requires_grad for d in found):
                return inputs
            adam.zero_grad()
            torch.stack(found).mean().backward()
            adam.step()
    with torch.no_grad():
        return changed(inputs, moves)


def changed(inputs: Inputs, moves: list[tuple[torch.Tensor, float]]) -> Inputs:
    turn = iter(moves)

    def change(x: torch.Tensor) -> torch.Tensor:
        if not x.is_floating_point() or not x.numel():
            return x
        move, spread = next(turn)
        return x + spread * move

    result: Inputs = mapped(inputs, change)
    return result


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter can be differentiated by, which saves half of the work."""
    free = [p for p in model.parameters() if p.requires_grad]
    try:
        for p in free:
            p.requires_grad_(False)
        yield
    finally:
        for p in free:
            p.requires_grad_(True)


@contextmanager
def differences(model: nn.Module) -> Iterator[list[torch.Tensor]]:
    """A list to which every BatchNorm adds how far a batch is from what it has stored."""
    found: list[torch.Tensor] = []

    def look(norm: _BatchNorm, given: tuple[Any, ...]) -> None:
        assert norm.running_mean is not None and norm.running_var is not None
        rows = given[0].movedim(1, -1).reshape(-1, given[0].shape[1]).float()
        rows = rows - norm.running_mean.float()
        # As products these sums take half of the time that torch.var_mean and its derivative do.
        each = rows.new_full((len(rows),), 1 / len(rows))
        mean = each @ rows
        var = (each @ rows.square() - mean.square()).clamp(min=0)
        stored = norm.running_var.float() + norm.eps
        shift = mean.square() / stored
        stretch = ((var + norm.eps) / stored).sqrt() - 1
        found.append((shift + stretch.square()).mean())

    handles = [norm.register_forward_pre_hook(look) for norm in norms(model)]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
