"""Converters of layers that work on images and sequences: convolutions, pooling, sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer
from spa_kernel.graph.ir import Value


def kernel_of(call: Call, variable: Any, first: Sequence[int] = (1, 0)) -> Value:
    """A kernel with its channels in front; ``first``: in which order.

    Keras has (..., in, out), where (out, in, ...) is the standard.
    """
    stored = call.weight(variable)
    rank = stored.ndim - 2
    perm = (*(rank + n for n in first), *range(rank))
    return call.emit("Kernel", [stored], [stored.shape[i] for i in perm], perm=perm)


def with_bias(call: Call) -> list[Value]:
    return [call.weight(call.layer.bias)] if call.layer.use_bias else []


def drawn(call: Call, out: Value) -> list[Held]:
    """The output of a convolution, after its activation."""
    function = call.layer.activation
    return call.drawn(call.activation(function, out, 1 if call.last else out.ndim - 1))


@layer("Conv1D", "Conv2D", "Conv3D")
def conv(call: Call) -> list[Held]:
    own = call.layer
    call.check_activation(own.activation)
    kernel = kernel_of(call, own.kernel)
    groups = Value(f"groups of {call.name}", (own.groups,), "virtual") if own.groups > 1 else None
    inputs = [call.image(), kernel, *with_bias(call)]
    out = call.emit("Conv", inputs, call.image_shape(), **({"groups": groups} if groups else {}))
    call.edit(
        lambda after: {
            "filters": after.size(kernel, 0),
            "groups": after.size(groups, 0) if groups else 1,
        }
    )
    return drawn(call, out)


@layer("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def conv_transpose(call: Call) -> list[Held]:
    """Its kernel is (..., out, in), the standard one (in, out, ...)."""
    own = call.layer
    call.check_activation(own.activation)
    if getattr(own, "groups", 1) != 1:
        raise Opaque
    kernel = kernel_of(call, own.kernel)
    inputs = [call.image(), kernel, *with_bias(call)]
    out = call.emit("ConvTranspose", inputs, call.image_shape())
    call.edit(lambda after: {"filters": after.size(kernel, 1)})
    return drawn(call, out)


def depthwise_product(call: Call, variable: Any, bias: list[Value]) -> Value:
    """Each channel has kernels of its own, which Keras stores as (..., channels, multiplier)."""
    x, turned = call.image(), kernel_of(call, variable, (0, 1))
    channels, multiplier, *window = turned.shape
    rows = channels * multiplier
    kernel = call.emit("Reshape", [turned], (rows, 1, *window))
    groups = Value(f"groups of {call.name}", (channels,), "virtual")
    shape = (x.shape[0], rows, *call.image_shape()[2:])
    return call.emit("Conv", [x, kernel, *bias], shape, groups=groups)


@layer("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(call: Call) -> list[Held]:
    own = call.layer
    call.check_activation(own.activation)
    stored = call.weight(own.kernel)
    out = depthwise_product(call, own.kernel, with_bias(call))
    call.edit(lambda after: {"depth_multiplier": after.size(stored, stored.ndim - 1)})
    return drawn(call, out)


@layer("SeparableConv1D", "SeparableConv2D")
def separable(call: Call) -> list[Held]:
    own = call.layer
    call.check_activation(own.activation)
    stored = call.weight(own.depthwise_kernel)
    between = depthwise_product(call, own.depthwise_kernel, [])
    kernel = kernel_of(call, own.pointwise_kernel)
    out = call.emit("Conv", [between, kernel, *with_bias(call)], call.image_shape())
    call.edit(
        lambda after: {
            "filters": after.size(kernel, 0),
            "depth_multiplier": after.size(stored, stored.ndim - 1),
        }
    )
    return drawn(call, out)


@layer("MaxPooling1D", "MaxPooling2D", "MaxPooling3D")
def max_pool(call: Call) -> list[Held]:
    return call.drawn(call.emit("MaxPool", [call.image()], call.image_shape()))


@layer("AveragePooling1D", "AveragePooling2D", "AveragePooling3D")
def average_pool(call: Call) -> list[Held]:
    return call.drawn(call.emit("AveragePool", [call.image()], call.image_shape()))


@layer("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D", "UpSampling1D", "UpSampling2D")
@layer("UpSampling3D", "Cropping1D", "Cropping2D", "Cropping3D")
def resized(call: Call) -> list[Held]:
    """Positions come, go, or are mixed; channels go through."""
    return call.drawn(call.emit("Resize", [call.image()], call.image_shape()))


@layer("GlobalAveragePooling1D", "GlobalAveragePooling2D", "GlobalAveragePooling3D")
@layer("GlobalMaxPooling1D", "GlobalMaxPooling2D", "GlobalMaxPooling3D")
def global_pool(call: Call) -> list[Held]:
    op = "GlobalAveragePool" if "Average" in type(call.layer).__name__ else "GlobalMaxPool"
    x = call.image()
    out = call.emit(op, [x], (*x.shape[:2], *(1 for _ in x.shape[2:])))
    if call.layer.keepdims:
        return call.drawn(out)
    return call.made(call.emit("Reshape", [out], call.shape))
