"""An ONNX model as a torch module: differentiable, and with weights to be trained."""

from __future__ import annotations

from spa_kernel.frontends.onnx.twin.checked import checked, twin_of
from spa_kernel.frontends.onnx.twin.module import RebuiltInTorch

__all__ = ["RebuiltInTorch", "checked", "twin_of"]
