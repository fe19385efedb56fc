"""Normalisations."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes


def weight_or(call: Call, variable: Any, number: float, shape: tuple[int, ...]) -> str:
    """A variable, or a number all over where the layer has none."""
    return call.constant(np.full(shape, number)) if variable is None else call.weight(variable)


def channels_second(call: Call, write: Any) -> list[Tensor]:
    """What is written of the input, for which the layer's axis has become the second one."""
    axis, rank = call.layer.axis % call.rank, call.rank
    if axis == 1:
        return call.made(write(call.plain()))
    if axis == rank - 1:
        return call.made(write(call.front()), front=True)
    perm = (0, axis, *(i for i in range(1, rank) if i != axis))
    out = write(call.node("Transpose", call.plain(), perm=perm))
    back = tuple(int(i) for i in np.argsort(perm))
    return call.made(call.node("Transpose", out, perm=back))


@writes("BatchNormalization")
def batch_norm(call: Call) -> list[Tensor]:
    """With stored statistics."""
    own = call.layer
    mean, variance = call.weight(own.moving_mean), call.weight(own.moving_variance)
    shape = tuple(own.moving_mean.shape)
    gamma = weight_or(call, own.gamma if own.scale else None, 1, shape)
    beta = weight_or(call, own.beta if own.center else None, 0, shape)
    inputs = gamma, beta, mean, variance
    epsilon = float(own.epsilon)
    return channels_second(
        call, lambda x: call.node("BatchNormalization", x, *inputs, epsilon=epsilon)
    )


def last_axes(call: Call) -> tuple[int, tuple[int, ...]]:
    """From which axis on the layer normalises, and their sizes."""
    given, rank = call.layer.axis, call.rank
    axes = sorted(n % rank for n in (given if isinstance(given, list | tuple) else [given]))
    if axes != list(range(axes[0], rank)) or axes[0] == 0:
        raise Unwritten("over axes that are not the last ones")
    return axes[0], tuple(call.shape[axis] or 0 for axis in axes)


@writes("LayerNormalization")
def layer_norm(call: Call) -> list[Tensor]:
    own = call.layer
    if getattr(own, "rms_scaling", False):
        raise Unwritten("with rms_scaling")
    axis, shape = last_axes(call)
    gamma = weight_or(call, own.gamma, 1, shape)
    beta = None if own.beta is None else call.weight(own.beta)
    epsilon = float(own.epsilon)
    out = call.node("LayerNormalization", call.plain(), gamma, beta, axis=axis, epsilon=epsilon)
    return call.made(out)


@writes("RMSNormalization")
def rms_norm(call: Call) -> list[Tensor]:
    own, (axis, _) = call.layer, last_axes(call)
    scale, epsilon = call.weight(own.scale), float(own.epsilon)
    out = call.node("RMSNormalization", call.plain(), scale, axis=axis, epsilon=epsilon)
    return call.made(out)


@writes("GroupNormalization")
def group_norm(call: Call) -> list[Tensor]:
    own = call.layer
    size = call.shape[own.axis] or 0
    gamma = weight_or(call, own.gamma if own.scale else None, 1, (size,))
    beta = weight_or(call, own.beta if own.center else None, 0, (size,))
    attrs = {"num_groups": int(own.groups), "epsilon": float(own.epsilon)}
    return channels_second(call, lambda x: call.node("GroupNormalization", x, gamma, beta, **attrs))


@writes("UnitNormalization")
def unit_norm(call: Call) -> list[Tensor]:
    given, x = call.layer.axis, call.plain()
    axes = call.constant([given] if isinstance(given, int) else list(given), np.int64)
    length = call.node("ReduceL2", x, axes, keepdims=1)
    return call.made(call.node("Div", x, call.node("Max", length, call.constant(1e-12))))


@writes("Rescaling")
def rescaling(call: Call) -> list[Tensor]:
    own = call.layer
    scale, offset = np.asarray(own.scale), np.asarray(own.offset)
    if keras.config.image_data_format() == "channels_first" and scale.ndim:
        raise Unwritten("with a scale for each channel in front")

    def write(xs: list[str]) -> str:
        out = call.node("Mul", *xs, call.constant(scale))
        return call.node("Add", out, call.constant(offset)) if offset.any() else out

    if scale.ndim or offset.ndim:
        return call.made(write([call.plain()]))
    return call.elementwise(write)


@writes("Normalization")
def normalization(call: Call) -> list[Tensor]:
    """By statistics that it was told, or that it has made of its weights, which may be older."""
    own, x = call.layer, call.plain()
    mean, variance = (
        call.constant(np.asarray(keras.ops.convert_to_numpy(content)))
        for content in (own.mean, own.variance)
    )
    least = call.constant(keras.config.epsilon())
    deviation = call.node("Max", call.node("Sqrt", variance), least)
    if own.invert:
        return call.made(call.node("Add", mean, call.node("Mul", x, deviation)))
    return call.made(call.node("Div", call.node("Sub", x, mean), deviation))


@writes("applications.LayerScale")
def layer_scale(call: Call) -> list[Tensor]:
    return call.made(call.node("Mul", call.plain(), call.weight(call.layer.gamma)))
