"""Operators that are a Keras layer: convolutions, products, norms and pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from spa_kernel.frontends.onnx.to_keras.call import Call, Unbuilt, Value, trained
from spa_kernel.frontends.onnx.to_keras.registry import builds

L = keras.layers
ops = keras.ops


def padding(
    call: Call, window: Sequence[int], strides: Sequence[int], gaps: Sequence[int]
) -> list[tuple[int, int]]:
    """Zeros before and behind each axis of a picture."""
    rank, how = len(window), call.attr("auto_pad", "NOTSET")
    if how in ("NOTSET", "VALID"):
        pads = list(call.attr("pads") or [0] * (2 * rank))
        return list(zip(pads[:rank], pads[rank:], strict=True))
    both = []
    for n, k, s, d in zip(call.value().shape[2:], window, strides, gaps, strict=True):
        total = max((-(-n // s) - 1) * s + (k - 1) * d + 1 - n, 0)
        small, large = total // 2, total - total // 2
        both.append((small, large) if how == "SAME_UPPER" else (large, small))
    return both


def padded(x: Any, both: list[tuple[int, int]]) -> Any:
    """A picture with its channels last, with zeros around it."""
    if not any(map(any, both)):
        return x
    layer = getattr(L, f"ZeroPadding{len(both)}D")
    return layer(both[0] if len(both) == 1 else tuple(both))(x)


def cropped(x: Any, both: list[tuple[int, int]]) -> Any:
    if not any(map(any, both)):
        return x
    layer = getattr(L, f"Cropping{len(both)}D")
    return layer(both[0] if len(both) == 1 else tuple(both))(x)


def channels_last(kernel: np.ndarray) -> np.ndarray:
    """(a, b, ...) as (..., b, a)."""
    rank = kernel.ndim - 2
    return np.ascontiguousarray(kernel.transpose(*range(2, rank + 2), 1, 0))


@builds("Conv")
def conv(call: Call) -> Value:
    kernel, bias = call.known(1), [call.known(2)] if call.has(2) else []
    rank, groups = kernel.ndim - 2, int(call.attr("group", 1))
    if rank not in (1, 2, 3):
        raise Unbuilt(f"over {rank} axes")
    window, filters = kernel.shape[2:], kernel.shape[0]
    strides = tuple(call.attr("strides") or (1,) * rank)
    gaps = tuple(call.attr("dilations") or (1,) * rank)
    settings = {"strides": strides, "dilation_rate": gaps, "use_bias": bool(bias)}
    both = padding(call, window, strides, gaps)
    each = filters // groups
    if groups > 1 and kernel.shape[1] == 1 and rank < 3 and len({*strides}) == 1:
        kind = getattr(L, f"DepthwiseConv{rank}D")
        # (channel · multiplier, 1, ...) as (..., channel, multiplier)
        stored = np.moveaxis(kernel.reshape(groups, each, *window), (0, 1), (-2, -1))
        layer = call.layer(lambda: kind(window, depth_multiplier=each, **settings), stored, *bias)
    else:
        kind, stored = getattr(L, f"Conv{rank}D"), channels_last(kernel)
        layer = call.layer(lambda: kind(filters, window, groups=groups, **settings), stored, *bias)
    return Value(last=layer(padded(call.last(), both)))


@builds("ConvTranspose")
def conv_transpose(call: Call) -> Value:
    kernel, bias = call.known(1), [call.known(2)] if call.has(2) else []
    rank = kernel.ndim - 2
    strange = call.attr("output_shape") is not None or call.attr("auto_pad", "NOTSET") != "NOTSET"
    if rank not in (1, 2, 3) or call.attr("group", 1) != 1 or strange:
        raise Unbuilt("in groups, or with a shape that is asked for")
    strides = tuple(call.attr("strides") or (1,) * rank)
    gaps = tuple(call.attr("dilations") or (1,) * rank)
    more = call.attr("output_padding") or [0] * rank
    kind = getattr(L, f"Conv{rank}DTranspose")
    both = padding(call, kernel.shape[2:], strides, gaps)
    extra = tuple(max(add - end, 0) for add, (_, end) in zip(more, both, strict=True))
    if any(e >= s for e, s in zip(extra, strides, strict=True)):
        raise Unbuilt("with output_padding as wide as the stride")
    layer = call.layer(
        lambda: kind(
            kernel.shape[1],
            kernel.shape[2:],
            strides=strides,
            dilation_rate=gaps,
            output_padding=extra,
            use_bias=bool(bias),
        ),
        channels_last(kernel),
        *bias,
    )
    crops = [(front, max(end - add, 0)) for add, (front, end) in zip(more, both, strict=True)]
    return Value(last=cropped(layer(call.last()), crops))


@builds("BatchNormalization")
def batch_norm(call: Call) -> Value:
    if call.attr("training_mode", 0):
        raise Unbuilt("in training")
    weights = [call.known(slot) for slot in range(1, 5)]
    epsilon = call.attr("epsilon", 1e-5)
    layer = call.layer(lambda: L.BatchNormalization(epsilon=epsilon), *weights)
    return Value(last=layer(call.last()))


@builds("LayerNormalization")
def layer_norm(call: Call) -> Value:
    axes = list(range(call.axis(-1), call.rank))
    gamma, beta = call.known(1), [call.known(2)] if call.has(2) else []
    shape = tuple(call.value().shape[axis] for axis in axes)
    if any(w.shape != shape for w in (gamma, *beta)):
        raise Unbuilt("with weights that are stretched")
    epsilon, center = call.attr("epsilon", 1e-5), bool(beta)
    layer = call.layer(
        lambda: L.LayerNormalization(axis=axes, epsilon=epsilon, center=center), gamma, *beta
    )
    return Value(first=layer(call.first()))


@builds("RMSNormalization")
def rms_norm(call: Call) -> Value:
    if call.axis(-1) != call.rank - 1:
        raise Unbuilt("over several axes")
    epsilon = call.attr("epsilon", 1e-5)
    layer = call.layer(lambda: L.RMSNormalization(epsilon=epsilon), call.known(1))
    return Value(first=layer(call.first()))


@builds("GroupNormalization", "InstanceNormalization")
def group_norm(call: Call) -> Value:
    gamma, beta = call.known(1), call.known(2)
    groups = int(call.attr("num_groups", len(gamma)))
    if call.value().shape[1] != len(gamma):
        raise Unbuilt("with a weight for each group")
    epsilon = call.attr("epsilon", 1e-5)
    layer = call.layer(lambda: L.GroupNormalization(groups, epsilon=epsilon), gamma, beta)
    return Value(last=layer(call.last()))


@builds("Gemm")
def gemm(call: Call) -> Value:
    alpha, beta = call.attr("alpha", 1.0), call.attr("beta", 1.0)
    turned = call.attr("transB", 0)
    if call.attr("transA", 0):
        raise Unbuilt("with its first matrix turned")
    kernel = call.known(1).T if turned else call.known(1)
    kernel = kernel if alpha == 1 else kernel * np.asarray(alpha, kernel.dtype)
    units, bias = kernel.shape[1], []
    if call.has(2):
        given = np.broadcast_to(call.known(2), (1, units))[0]
        bias = [given if beta == 1 else given * np.asarray(beta, given.dtype)]
    layer = call.layer(lambda: L.Dense(units, use_bias=bool(bias)), kernel, *bias)
    return Value(first=layer(call.first()))


@builds("MatMul")
def matmul(call: Call) -> Value:
    kernel = call.value(1).array
    if kernel is None or kernel.ndim != 2 or call.value().array is not None:
        return Value(first=ops.matmul(call.first(), call.first(1)))
    layer = call.layer(lambda: L.Dense(kernel.shape[1], use_bias=False), kernel)
    return Value(first=layer(call.first()))


@builds("Einsum")
def einsum(call: Call) -> Value:
    equation = call.attr("equation").replace(" ", "")
    operands, _, out = equation.partition("->")
    x, _, kernel = operands.partition(",")
    single = len(call.inputs) == 2 and trained(call.value(1)) and call.value().array is None
    if single and out and "." not in equation and x[0] == out[0] and x[0] not in kernel:
        stored = call.known(1)
        sizes = dict(zip(kernel, stored.shape, strict=True))
        shape = tuple(sizes.get(letter) for letter in out[1:])
        layer = call.layer(lambda: L.EinsumDense(equation, shape), stored)
        return Value(first=layer(call.first()))
    return Value(first=ops.einsum(equation, *map(call.first, range(len(call.inputs)))))


@builds("MaxPool", "AveragePool")
def pool(call: Call) -> Value:
    window = tuple(call.attr("kernel_shape"))
    rank = len(window)
    strides = tuple(call.attr("strides") or (1,) * rank)
    gaps = tuple(call.attr("dilations") or (1,) * rank)
    if rank not in (1, 2, 3) or set(gaps) != {1} or len(call.proto.output) > 1:
        raise Unbuilt("with gaps or positions")
    both, x = padding(call, window, strides, gaps), call.last()
    counted = bool(call.attr("count_include_pad", 0)) or not any(map(any, both))
    if call.attr("ceil_mode", 0):
        both = [
            (a, b if (n + a + b - k) % s == 0 else b + s - (n + a + b - k) % s)
            for n, k, s, (a, b) in zip(call.value().shape[2:], window, strides, both, strict=True)
        ]
        if call.proto.op_type == "AveragePool" and any(b for _, b in both):
            raise Unbuilt("with sizes that are rounded up")
    kind = "MaxPooling" if call.proto.op_type == "MaxPool" else "AveragePooling"
    layer = getattr(L, f"{kind}{rank}D")(window, strides=strides)
    if call.proto.op_type == "MaxPool" and any(map(any, both)):
        low = float(np.finfo(np.float32).min)
        x = ops.pad(x, [(0, 0), *both, (0, 0)], constant_values=low)
        return Value(last=layer(x))
    if counted:
        return Value(last=layer(padded(x, both)))
    # The share of a window that lies in the picture.
    ones = np.ones((1, *call.value().shape[2:], 1), np.float32)
    inside = ops.pad(ones, [(0, 0), *both, (0, 0)])
    shares = ops.convert_to_numpy(
        ops.average_pool(inside, window, strides, data_format="channels_last")
    )
    return Value(last=ops.divide(layer(padded(x, both)), np.asarray(shares)))


@builds("GlobalAveragePool", "GlobalMaxPool")
def global_pool(call: Call) -> Value:
    kind = "Average" if "Average" in call.proto.op_type else "Max"
    layer = getattr(L, f"Global{kind}Pooling{call.rank - 2}D", None)
    if layer is None:
        raise Unbuilt
    return Value(last=layer(keepdims=True)(call.last()))
