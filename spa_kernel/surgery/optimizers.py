"""The state of a torch optimizer, cut together with the parameters that it belongs to."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from spa_kernel.errors import InfeasibleTarget


def check_owner(optimizer: Any, model: nn.Module) -> None:
    """Check that this is an optimizer, and one of this model.

    Raises
    ------
    InfeasibleTarget
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InfeasibleTarget(
            f"optimizer= takes a torch.optim.Optimizer, not {type(optimizer).__name__}"
        )
    own = set(model.parameters())
    if not any(p in own for group in optimizer.param_groups for p in group["params"]):
        raise InfeasibleTarget(
            f"this {type(optimizer).__name__} has no parameter of {type(model).__name__}: give the "
            "optimizer that trains this very model, or none"
        )


def check_optimizer(optimizer: Any, model: nn.Module) -> None:
    """Check that an optimizer's state can be cut along with the parameters.

    State of a parameter is a number, a tensor of one element, or a tensor of the parameter's
    shape in which axes may be 1 long (Adafactor keeps rows and columns).

    Raises
    ------
    InfeasibleTarget
        As for `check_owner`, or its state does not fit.
    """
    check_owner(optimizer, model)
    kind = type(optimizer).__name__
    own: dict[torch.Tensor, str] = {p: name for name, p in model.named_parameters()}
    for parameter, entries in optimizer.state.items():
        for key, entry in entries.items():
            if parameter not in own or fits(entry, parameter):
                continue
            what = f"{kind} keeps {key!r} of {own[parameter]!r}"
            if isinstance(entry, torch.Tensor) and entry.ndim == parameter.ndim:
                raise InfeasibleTarget(
                    f"{what} in shape {list(entry.shape)}, and the parameter has shape "
                    f"{list(parameter.shape)}: the model was pruned without optimizer=. Undo that, "
                    "or make a new optimizer"
                )
            raise InfeasibleTarget(
                f"{what} in a form that cannot be cut along with it. Prune without optimizer=, "
                f"and make a new {kind} afterwards"
            )


def fits(entry: Any, parameter: torch.Tensor) -> bool:
    """Whether a state entry has no channels, or those of its parameter."""
    if not isinstance(entry, torch.Tensor):
        return entry is None or isinstance(entry, bool | int | float | str)
    if entry.numel() == 1:
        return True
    return entry.ndim == parameter.ndim and all(
        size in (1, full) for size, full in zip(entry.shape, parameter.shape, strict=True)
    )


def losing(entry: Any, axes: dict[int, torch.Tensor]) -> dict[int, torch.Tensor]:
    """Those of a parameter's axes that lose indices which a state entry has as well."""
    if not isinstance(entry, torch.Tensor) or entry.numel() == 1:
        return {}
    return {axis: index for axis, index in axes.items() if entry.shape[axis] != 1}
