"""Pooling over windows and over everything."""

from __future__ import annotations

import keras
import numpy as np

from spa_kernel.frontends.keras.export.call import Call, Tensor
from spa_kernel.frontends.keras.export.convolutions import padded
from spa_kernel.frontends.keras.export.registry import writes


@writes("MaxPooling1D", "MaxPooling2D", "MaxPooling3D")
@writes("AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
def pool(call: Call) -> list[Tensor]:
    """Zeros around the picture are not counted."""
    own, x = call.layer, call.image()
    op = "MaxPool" if "Max" in type(own).__name__ else "AveragePool"
    pads = padded(call.image_shape[2:], own.pool_size, own.strides, own.padding)
    half = len(pads) // 2
    if op == "AveragePool" and pads[:half] != pads[half:] and keras.backend.backend() == "torch":
        # There Keras repeats the border instead, where the two sides differ.
        widths = call.constant([0, 0, *pads[:half], 0, 0, *pads[half:]], np.int64)
        x, pads = call.node("Pad", x, widths, mode="edge"), [0] * len(pads)
    out = call.node(op, x, kernel_shape=own.pool_size, strides=own.strides, pads=pads)
    return call.drawn(out)


@writes("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D")
@writes("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D")
def global_pool(call: Call) -> list[Tensor]:
    op = "GlobalMaxPool" if "Max" in type(call.layer).__name__ else "GlobalAveragePool"
    out = call.node(op, call.image())
    if call.layer.keepdims:
        return call.drawn(out)
    return call.made(call.node("Flatten", out, axis=1))
