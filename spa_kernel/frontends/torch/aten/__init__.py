"""ATen calls in ONNX operator vocabulary; one file per operator family."""

from spa_kernel.frontends.torch.aten import linear, norm, pointwise, shape
from spa_kernel.frontends.torch.aten.registry import Call, convert

__all__ = ["Call", "convert", "linear", "norm", "pointwise", "shape"]
