"""Layers that move, repeat, add or leave out entries, or do nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes
from spa_kernel.frontends.keras.shapes import moved


@writes("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise")
@writes("GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity")
@writes("applications.StochasticDepth")
def nothing(call: Call) -> list[Tensor]:
    """In inference."""
    return call.elementwise(lambda xs: call.node("Identity", *xs))


@writes("Flatten")
def flatten(call: Call) -> list[Tensor]:
    """The channels of an image come last, whatever its layout."""
    x, rank = call.plain(), call.rank
    if not call.last and rank > 2:
        x = call.node("Transpose", x, perm=(0, *range(2, rank), 1))
    return call.made(call.reshaped(x, call.shape))


@writes("Reshape", "ops.Reshape")
def reshape(call: Call) -> list[Tensor]:
    return call.made(call.reshaped(call.plain(), call.shape))


@writes("Permute")
def permute(call: Call) -> list[Tensor]:
    return call.made(call.node("Transpose", call.plain(), perm=(0, *call.layer.dims)))


@writes("ops.Transpose")
def transpose(call: Call) -> list[Tensor]:
    axes = call.layer.axes
    perm = None if axes is None else [axis % call.rank for axis in axes]
    return call.made(call.node("Transpose", call.plain(), perm=perm))


@writes("ops.Swapaxes")
def swap(call: Call) -> list[Tensor]:
    a, b = call.layer.axis1 % call.rank, call.layer.axis2 % call.rank
    perm = [{a: b, b: a}.get(axis, axis) for axis in range(call.rank)]
    return call.made(call.node("Transpose", call.plain(), perm=perm))


@writes("ops.Moveaxis")
def move(call: Call) -> list[Tensor]:
    perm = moved(call.rank, call.layer.source, call.layer.destination)
    return call.made(call.node("Transpose", call.plain(), perm=perm))


@writes("ops.ExpandDims")
def expand_dims(call: Call) -> list[Tensor]:
    axes = [call.layer.axis] if isinstance(call.layer.axis, int) else list(call.layer.axis)
    return call.made(call.node("Unsqueeze", call.plain(), call.constant(axes, np.int64)))


@writes("ops.Squeeze")
def squeeze(call: Call) -> list[Tensor]:
    axes = [call.layer.axis] if isinstance(call.layer.axis, int) else call.layer.axis
    if axes is None:
        raise Unwritten("without axes")
    return call.made(call.node("Squeeze", call.plain(), call.constant(list(axes), np.int64)))


@writes("RepeatVector")
def repeat(call: Call) -> list[Tensor]:
    one = call.node("Unsqueeze", call.plain(), call.constant([1], np.int64))
    shape = call.constant([1, call.layer.n, 1], np.int64)
    return call.made(call.node("Expand", one, shape))


def sides(amounts: Any) -> list[tuple[int, int]]:
    """Before and after, for each axis of an image."""
    pairs = [amounts] if isinstance(amounts[0], int) else amounts
    return [(int(before), int(after)) for before, after in pairs]


@writes("ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D")
def zero_padding(call: Call) -> list[Tensor]:
    both = sides(call.layer.padding)
    pads = [0, 0, *(n for n, _ in both), 0, 0, *(n for _, n in both)]
    return call.drawn(call.node("Pad", call.image(), call.constant(pads, np.int64)))


@writes("Cropping1D", "Cropping2D", "Cropping3D")
def cropping(call: Call) -> list[Tensor]:
    both, sizes = sides(call.layer.cropping), call.image_shape[2:]
    bounds = (
        [n for n, _ in both],
        [size - n for size, (_, n) in zip(sizes, both, strict=True)],
        range(2, len(sizes) + 2),
    )
    given = [call.constant(list(each), np.int64) for each in bounds]
    return call.drawn(call.node("Slice", call.image(), *given))


@writes("UpSampling1D", "UpSampling2D", "UpSampling3D")
def upsampling(call: Call) -> list[Tensor]:
    own = call.layer
    size = (own.size,) if isinstance(own.size, int) else own.size
    how = getattr(own, "interpolation", "nearest")
    if how == "nearest":
        attrs = {"mode": how, "coordinate_transformation_mode": "asymmetric"}
        attrs["nearest_mode"] = "floor"
    elif how == "bilinear":
        attrs = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    else:
        raise Unwritten(f"with interpolation={how!r}")
    scales = call.constant([1, 1, *size], np.float32)
    return call.drawn(call.node("Resize", call.image(), None, scales, **attrs))


@writes("ops.Stack")
def stack(call: Call) -> list[Tensor]:
    given: Any = next(iter(call.given.values()))
    axis = call.constant([call.layer.axis % len(call.shape)], np.int64)
    parts = [call.node("Unsqueeze", call.operand(value), axis) for value in given]
    return call.made(call.node("Concat", *parts, axis=call.layer.axis % len(call.shape)))
