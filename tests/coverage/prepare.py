"""Weights of ordinary size, so that no branch is too small to show an error."""

from __future__ import annotations

import torch
from torch import nn


def ordinary(model: nn.Module, seed: int = 0) -> nn.Module:
    """Randomise BatchNorm statistics and constant parameters; scale up what is tiny.

    A layer scale of 1e-6 or a branch that starts at zero would hide any error.
    """
    generator = torch.Generator().manual_seed(seed)

    def noise(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator).to(tensor)

    with torch.no_grad():
        for p in model.parameters():
            if not p.is_floating_point() or p.numel() == 0:
                continue
            size = float(p.float().square().mean().sqrt())
            if float(p.min()) == float(p.max()):
                # A scale stays near what it was; a shift, or one that starts at zero, does not.
                center = float(p.flatten()[0])
                center = center if abs(center) > 0.1 else 0.0
                spread = 0.3 * (abs(center) or 1.0)
                if p.ndim > 1 and not center:
                    spread = min(0.3, max(1, p[0].numel()) ** -0.5)
                p.copy_(center + spread * noise(p))
            elif p.ndim > 1:
                wanted = max(1, p[0].numel()) ** -0.5
                if size < wanted / 3:
                    p.mul_(wanted / size)
        for name, buffer in model.named_buffers():
            if buffer.is_floating_point() and name.endswith("running_mean"):
                buffer.copy_(0.3 * noise(buffer))
            elif buffer.is_floating_point() and name.endswith("running_var"):
                buffer.copy_(0.5 + noise(buffer).abs())
    return model
