"""The two compiled operators that torchvision cannot do without, where its library is missing.

That library is compiled for one build of torch (CUDA or not, and which).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from torch import library


def nms(boxes: torch.Tensor, scores: torch.Tensor, threshold: float) -> torch.Tensor:
    """Indices of boxes that no better one overlaps by more than the threshold."""
    order = scores.argsort(descending=True, stable=True)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    kept: list[torch.Tensor] = []
    while order.numel():
        best, rest = order[0], order[1:]
        kept.append(best)
        low = torch.maximum(boxes[best, :2], boxes[rest, :2])
        high = torch.minimum(boxes[best, 2:], boxes[rest, 2:])
        common = (high - low).clamp(min=0).prod(1)
        order = rest[common / (area[best] + area[rest] - common) <= threshold]
    return torch.stack(kept) if kept else order


def declare(run: bool = False) -> library.Library | None:
    """Declare the operators; the declarations last as long as what is returned.

    ``run``: also let detection networks find boxes with them.
    """
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return None
    for compiled in Path(spec.origin).parent.glob("_C*"):
        try:
            torch.ops.load_library(str(compiled))
        except OSError:
            continue
        return None
    made = library.Library("torchvision", "DEF")
    made.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    made.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    if not run:
        return made
    made.impl("nms", nms, "CPU")
    from torchvision.ops import boxes

    checked: Any = boxes
    checked._assert_has_ops = lambda: None
    return made
