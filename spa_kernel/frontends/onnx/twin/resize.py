"""Resizing, axis by axis: each new entry is a sum of a few old ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator

Taps = list[tuple[np.ndarray, np.ndarray | None]]
"""For each tap the old positions, and by how much they count (``None``: once)."""


@operator("Upsample", settings=(1,))
def upsample(call: Call, x: Tensor, scales: Known | None = None) -> Tensor:
    factors = list(call.attr("scales")) if scales is None else scales.tolist()
    call.attributes.setdefault("coordinate_transformation_mode", "asymmetric")
    call.attributes.setdefault("nearest_mode", "floor")
    return resized(call, x, list(range(x.ndim)), factors, None)


@operator("Resize", settings=(1, 2, 3))
def resize(
    call: Call,
    x: Tensor,
    roi: Known | None = None,
    scales: Known | None = None,
    sizes: Known | None = None,
) -> Tensor:
    if call.opset == 10:
        # Operator set 10 has the scales in second place, and no modes of coordinates.
        scales = roi
        call.attributes.setdefault("coordinate_transformation_mode", "asymmetric")
        call.attributes.setdefault("nearest_mode", "floor")
    if call.attr("antialias", 0) or call.attr("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise call.refuse("it smooths, or keeps the ratio of sides")
    axes = [a % x.ndim for a in call.attr("axes") or range(x.ndim)]
    if sizes is not None and sizes.size:
        return resized(call, x, axes, None, [int(n) for n in sizes])
    if scales is None or not scales.size:
        raise call.refuse("it has neither sizes nor scales")
    return resized(call, x, axes, scales.tolist(), None)


def resized(
    call: Call, x: Tensor, axes: list[int], scales: list[float] | None, sizes: list[int] | None
) -> Tensor:
    for i, axis in enumerate(axes):
        old = int(x.shape[axis])
        if scales is None:
            assert sizes is not None
            new, scale = sizes[i], sizes[i] / old
        else:
            # In single precision, as 0.7 times 10 is 7 there.
            new, scale = int(np.float32(old) * np.float32(scales[i])), scales[i]
        if new == old and scale == 1:
            continue
        at = coordinates(call, old, new, scale)
        total: Tensor | None = None
        for positions, weights in taps(call, at, old):
            part = x.index_select(axis, call.tensor(positions.astype(np.int64)))
            if weights is not None:
                shape = [1] * x.ndim
                shape[axis] = -1
                part = part * call.tensor(weights).to(x.dtype).reshape(shape)
            total = part if total is None else total + part
        assert total is not None
        x = total
    return x


def coordinates(call: Call, old: int, new: int, scale: float) -> np.ndarray:
    """Where each new entry lies among the old ones."""
    mode, i = call.attr("coordinate_transformation_mode", "half_pixel"), np.arange(new)
    if mode == "half_pixel":
        at = (i + 0.5) / scale - 0.5
    elif mode == "half_pixel_symmetric":
        at = old / 2 * (1 - new / (scale * old)) + (i + 0.5) / scale - 0.5
    elif mode == "pytorch_half_pixel":
        at = (i + 0.5) / scale - 0.5 if new > 1 else np.zeros(1)
    elif mode == "asymmetric":
        at = i / scale
    elif mode == "align_corners":
        at = i * (old - 1) / (new - 1) if new > 1 else np.zeros(1)
    else:
        raise call.refuse(f"coordinates go by {mode}")
    found: np.ndarray = at
    return found


def taps(call: Call, at: np.ndarray, old: int) -> Taps:
    mode, last = call.attr("mode", "nearest"), old - 1
    if mode == "nearest":
        near: Any = {
            "round_prefer_floor": lambda v: np.ceil(v - 0.5),
            "round_prefer_ceil": lambda v: np.floor(v + 0.5),
            "floor": np.floor,
            "ceil": np.ceil,
        }[call.attr("nearest_mode", "round_prefer_floor")]
        return [(near(at).clip(0, last), None)]
    low = np.floor(at)
    t = at - low
    if mode in ("linear", "bilinear"):
        return [(low.clip(0, last), 1 - t), ((low + 1).clip(0, last), t)]
    if mode != "cubic":
        raise call.refuse(f"it works by {mode}")
    a, found = call.attr("cubic_coeff_a", -0.75), []
    for k in range(-1, 3):
        d = np.abs(t - k)
        inner = (a + 2) * d**3 - (a + 3) * d**2 + 1
        outer = a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
        found.append((low + k, np.where(d <= 1, inner, outer)))
    if call.attr("exclude_outside", 0):
        found = [(p, np.where((p < 0) | (p > last), 0.0, w)) for p, w in found]
        total = sum(w for _, w in found)
        found = [(p, w / total) for p, w in found]
    return [(p.clip(0, last), w) for p, w in found]


@operator("GridSample")
def grid_sample(call: Call, x: Tensor, grid: Tensor) -> Tensor:
    names = {"linear": "bilinear", "cubic": "bicubic"}
    mode = call.attr("mode", "linear")
    border = call.attr("padding_mode", "zeros")
    aligned = bool(call.attr("align_corners", 0))
    return F.grid_sample(x, grid, names.get(mode, mode), border, aligned)
