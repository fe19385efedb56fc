"""ONNX models as functional Keras models, whose weights are variables of layers."""

from __future__ import annotations

from spa_kernel.frontends.onnx.to_keras.model import keras_from_onnx

__all__ = ["keras_from_onnx"]
