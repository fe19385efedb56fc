"""The patches of a picture that a kernel meets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F


class Geometry(NamedTuple):
    """How a convolution's kernel is laid over a picture, one entry per spatial axis.

    Attributes
    ----------
    stride, dilation, extra : tuple of int
        ``extra`` is the output padding of a transposed convolution.
    padding : tuple of (int, int)
        Zeros before and after.
    transposed : bool
    groups : int
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    transposed: bool
    extra: tuple[int, ...]
    groups: int


def patches(x: torch.Tensor, kernel: tuple[int, ...], geometry: Geometry) -> torch.Tensor:
    """All patches of a picture, from (..., size) to (..., positions, kernel)."""
    if geometry.transposed:
        return dilated(x, kernel, geometry)
    return windows(x, kernel, geometry.stride, geometry.padding, geometry.dilation)


def windows(
    x: torch.Tensor,
    kernel: tuple[int, ...],
    stride: Sequence[int],
    padding: Sequence[tuple[int, int]],
    dilation: Sequence[int],
) -> torch.Tensor:
    """The same for a plain convolution; a view."""
    dims = len(kernel)
    if any(p for pads in padding for p in pads):
        x = F.pad(x, [p for pads in reversed(padding) for p in pads])
    first = x.ndim - dims
    for i in range(dims):
        # Each turn takes an axis of x and adds one of the kernel at the end.
        x = x.unfold(first + i, dilation[i] * (kernel[i] - 1) + 1, stride[i])
        x = x[..., :: dilation[i]]
    return x


def dilated(x: torch.Tensor, kernel: tuple[int, ...], geometry: Geometry) -> torch.Tensor:
    """The same for a transposed convolution: zeros between the entries of the picture."""
    dims = len(kernel)
    stride, padding, dilation = geometry.stride, geometry.padding, geometry.dilation
    lead = x.shape[: x.ndim - dims]
    sizes = [
        (n - 1) * s + 1 + e for n, s, e in zip(x.shape[-dims:], stride, geometry.extra, strict=True)
    ]
    apart = x.new_zeros((*lead, *sizes))
    inner: list[Any] = [
        slice(0, n - e, s) for n, s, e in zip(sizes, stride, geometry.extra, strict=True)
    ]
    apart[(..., *inner)] = x
    around = [
        (d * (k - 1) - before, d * (k - 1) - after)
        for d, k, (before, after) in zip(dilation, kernel, padding, strict=True)
    ]
    found = windows(apart, kernel, [1] * dims, around, dilation)
    return found.flip(list(range(-dims, 0)))
