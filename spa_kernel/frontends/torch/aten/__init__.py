"""ATen calls in ONNX operator vocabulary; one file per operator family."""

from spa_kernel.frontends.torch.aten import (
    indexing,
    linear,
    matrix,
    norm,
    pointwise,
    shape,
    vision,
)
from spa_kernel.frontends.torch.aten.registry import Call, convert, spelled

__all__ = [
    "Call",
    "convert",
    "indexing",
    "linear",
    "matrix",
    "norm",
    "pointwise",
    "shape",
    "spelled",
    "vision",
]
