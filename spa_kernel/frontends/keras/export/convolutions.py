"""Convolutions of all kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from spa_kernel.frontends.keras.export.activations import activated
from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes


def padded(
    sizes: Sequence[int], window: Sequence[int], strides: Sequence[int], how: str
) -> list[int]:
    """Zeros in front of each axis, then behind each; ``window``: with the gaps of a dilation."""
    if how == "valid":
        return [0] * (2 * len(sizes))
    if how == "causal":
        return [*(k - 1 for k in window), *(0 for _ in window)]
    if how != "same":
        raise Unwritten(f"with padding={how!r}")
    total = [
        max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(sizes, window, strides, strict=True)
    ]
    return [*(n // 2 for n in total), *(n - n // 2 for n in total)]


def kernel_of(call: Call, variable: Any, first: tuple[int, int] = (1, 0)) -> str:
    """A kernel with its channels in front; ``first``: in which order.

    Keras has (..., in, out), where (out, in, ...) is the standard.
    """
    rank = len(variable.shape) - 2
    perm = (*(rank + n for n in first), *range(rank))
    return call.node("Transpose", call.weight(variable), perm=perm)


def bias_of(call: Call) -> list[str]:
    return [call.weight(call.layer.bias)] if call.layer.use_bias else []


def convolved(call: Call, kernel: str, *bias: str, groups: int = 1) -> str:
    """By the layer's window, strides, dilation and padding."""
    own = call.layer
    gaps = zip(own.kernel_size, own.dilation_rate, strict=True)
    window = [(k - 1) * d + 1 for k, d in gaps]
    return call.node(
        "Conv",
        call.image(),
        kernel,
        *bias,
        kernel_shape=own.kernel_size,
        strides=own.strides,
        dilations=own.dilation_rate,
        pads=padded(call.image_shape[2:], window, own.strides, own.padding),
        group=groups,
    )


def drawn(call: Call, out: str) -> list[Tensor]:
    """The output of a convolution, after its activation."""
    return call.drawn(activated(call, call.layer.activation, out, 1 if call.last else -1))


@writes("Conv1D", "Conv2D", "Conv3D")
def conv(call: Call) -> list[Tensor]:
    own = call.layer
    kernel = kernel_of(call, own.kernel)
    return drawn(call, convolved(call, kernel, *bias_of(call), groups=own.groups))


def depthwise_product(call: Call, variable: Any, *bias: str) -> str:
    """Each channel has kernels of its own, which Keras stores as (..., channels, multiplier)."""
    *window, channels, multiplier = variable.shape
    turned = kernel_of(call, variable, (0, 1))
    kernel = call.reshaped(turned, (channels * multiplier, 1, *window))
    return convolved(call, kernel, *bias, groups=channels)


@writes("DepthwiseConv1D", "DepthwiseConv2D")
def depthwise(call: Call) -> list[Tensor]:
    return drawn(call, depthwise_product(call, call.layer.kernel, *bias_of(call)))


@writes("SeparableConv1D", "SeparableConv2D")
def separable(call: Call) -> list[Tensor]:
    own = call.layer
    between = depthwise_product(call, own.depthwise_kernel)
    kernel = kernel_of(call, own.pointwise_kernel)
    return drawn(call, call.node("Conv", between, kernel, *bias_of(call)))


@writes("Conv1DTranspose", "Conv2DTranspose", "Conv3DTranspose")
def conv_transpose(call: Call) -> list[Tensor]:
    """Its kernel is (..., out, in), the standard one (in, out, ...)."""
    own = call.layer
    if getattr(own, "groups", 1) != 1:
        raise Unwritten("in groups")
    extra = own.output_padding
    if extra is None or isinstance(extra, int):
        extra = [extra] * len(own.kernel_size)
    crops = [
        cropped((k - 1) * d + 1, s, own.padding, more)
        for k, d, s, more in zip(
            own.kernel_size, own.dilation_rate, own.strides, extra, strict=True
        )
    ]
    out = call.node(
        "ConvTranspose",
        call.image(),
        kernel_of(call, own.kernel),
        *bias_of(call),
        kernel_shape=own.kernel_size,
        strides=own.strides,
        dilations=own.dilation_rate,
        pads=[*(front for front, _ in crops), *(max(back, 0) for _, back in crops)],
        output_padding=[max(-back, 0) for _, back in crops],
    )
    return drawn(call, out)


def cropped(window: int, stride: int, padding: str, extra: int | None) -> tuple[int, int]:
    """What goes from both ends of ``(size - 1) * stride + window`` entries; below 0 is added."""
    if padding == "valid":
        return 0, -(max(stride - window, 0) if extra is None else extra)
    if padding != "same":
        raise Unwritten(f"with padding={padding!r}")
    added = stride + window - 2 if extra is None else window + window % 2 - 2 + extra
    front = min(-(-added // 2), window - 1)
    return window - 1 - front, window - 1 - (added - front)
