"""Converters of Keras layers: each writes the operators that its layer stands for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held, unset
from spa_kernel.graph.ir import Value

Converter = Callable[[Call], list[Held]]
CONVERTERS: dict[str, Converter] = {}
SEVERAL: set[str] = set()
TENSORS_ONLY = ("training", "mask")
"""What a call may pass by name, as long as nothing is meant by it."""


def layer(*names: str, several: bool = False) -> Callable[[Converter], Converter]:
    """Register a converter by the names of Keras classes, see `described`.

    ``several``: whether it takes more than one tensor.
    """

    def register(converter: Converter) -> Converter:
        CONVERTERS.update(dict.fromkeys(names, converter))
        SEVERAL.update(names if several else ())
        return converter

    return register


def convert(call: Call) -> list[Held]:
    """Write down a call; where it is not known what it does, nothing that it touches can go."""
    from spa_kernel.frontends.keras import (  # noqa: F401 (they register converters)
        attention,
        images,
        merging,
        operations,
        products,
        reductions,
        shapes,
        slices,
    )

    name = described(type(call.layer))
    converter, expected = CONVERTERS.get(name), len(call.inputs) == 1 or name in SEVERAL
    if converter is not None and expected and settled(call):
        nodes, edits = len(call.captured.graph.nodes), len(call.captured.edits)
        try:
            return converter(call)
        except Opaque:
            del call.captured.graph.nodes[nodes:], call.captured.edits[edits:]
    return opaque(call)


def described(kind: type) -> str:
    """The name that a class of Keras is registered by; classes of others have none.

    Those that are not layers begin with where they are from, as in ``"ops.Add"``.
    """
    package = kind.__module__.removeprefix("keras.src.").partition(".")[0]
    if not of_keras(kind) or package not in ("layers", "ops", "applications"):
        return ""
    return kind.__name__ if package == "layers" else f"{package}.{kind.__name__}"


def of_keras(kind: type) -> bool:
    return kind.__module__.startswith("keras.src.")


def settled(call: Call) -> bool:
    """Whether a layer is called in inference, with its weights as they are."""
    changed = getattr(call.layer, "quantization_mode", None) or getattr(
        call.layer, "lora_enabled", False
    )
    kwargs = call.arguments.kwargs
    return not changed and all(unset(kwargs.get(name)) for name in TENSORS_ONLY)


def opaque(call: Call) -> list[Held]:
    """An operator that nobody described, with all weights of its layer."""
    weights = [call.weight(v) for v in getattr(call.layer, "weights", [])]
    tensors = [call.plain(at) for at in range(len(call.inputs))]
    made = []
    for real in call.reals:
        out = call.emit(f"keras.{type(call.layer).__name__}", [*tensors, *weights], real.shape)
        made.append(Held(real, out))
    return made


@layer("Dense")
def dense(call: Call) -> list[Held]:
    own, x = call.layer, call.plain()
    call.check_activation(own.activation)
    kernel = call.weight(own.kernel)
    bias = call.weight(own.bias) if own.use_bias else None
    if x.ndim == 2:
        out = call.emit("Gemm", [x, kernel, *([bias] if bias else [])], call.shape)
    else:
        out = call.emit("MatMul", [x, kernel], call.shape)
        if bias is not None:
            out = call.emit("Add", [out, bias], call.shape)
    call.edit(lambda after: {"units": after.size(kernel, 1)})
    return call.made(call.activation(own.activation, out, out.ndim - 1))


@layer("Embedding")
def embedding(call: Call) -> list[Held]:
    table = call.weight(call.layer._embeddings)
    out = call.emit("Gather", [table, call.plain()], call.shape, axis=0)
    call.edit(lambda after: {"output_dim": after.size(table, 1)})
    return call.made(out)


@layer("Activation")
def activation(call: Call) -> list[Held]:
    function = call.layer.activation
    call.check_activation(function)
    if function in (keras.activations.softmax, keras.activations.log_softmax):
        x = call.plain()
        return call.made(call.activation(function, x, x.ndim - 1))
    return call.elementwise(lambda xs, shape: call.activation(function, xs[0], -1))


@layer("ReLU")
def relu(call: Call) -> list[Held]:
    own, op, attrs = call.layer, "Relu", dict[str, Any]()
    if own.threshold:
        op = "ThresholdedRelu"
    elif own.negative_slope:
        op = "LeakyRelu"
    elif own.max_value is not None:
        op, attrs = "Clip", {"min": 0, "max": float(own.max_value)}
    return call.elementwise(lambda xs, shape: call.emit(op, xs, shape, **attrs))


@layer("LeakyReLU", "ELU")
def leaky(call: Call) -> list[Held]:
    op = {"LeakyReLU": "LeakyRelu", "ELU": "Elu"}[type(call.layer).__name__]
    return call.elementwise(lambda xs, shape: call.emit(op, xs, shape))


@layer("PReLU")
def prelu(call: Call) -> list[Held]:
    alpha = call.weight(call.layer.alpha)
    return call.made(call.emit("PRelu", [call.plain(), alpha], call.shape))


@layer("applications.LayerScale")
def layer_scale(call: Call) -> list[Held]:
    gamma = call.weight(call.layer.gamma)
    call.edit(lambda after: {"projection_dim": after.size(gamma, 0)})
    return call.made(call.emit("Mul", [call.plain(), gamma], call.shape))


@layer("Dropout", "SpatialDropout1D", "SpatialDropout2D", "SpatialDropout3D", "GaussianNoise")
@layer("GaussianDropout", "AlphaDropout", "ActivityRegularization", "Identity")
def nothing(call: Call) -> list[Held]:
    """Nothing in inference; a size of what is dropped is one that would have to follow."""
    if any(size not in (None, 1) for size in getattr(call.layer, "noise_shape", None) or ()):
        raise Opaque
    return call.elementwise(lambda xs, shape: call.emit("Identity", xs, shape))


@layer("Rescaling")
def rescaling(call: Call) -> list[Held]:
    own = call.layer
    if not all(isinstance(n, int | float) for n in (own.scale, own.offset)):
        raise Opaque

    def write(xs: list[Value], shape: tuple[int, ...]) -> Value:
        out = call.emit("Mul", xs, shape, scalar=True)
        return call.emit("Add", [out], shape, scalar=True) if own.offset else out

    return call.elementwise(write)


def normalised_axis(call: Call) -> int:
    """The one axis that a layer's weights run over, counted from the front."""
    axis: Any = call.layer.axis
    if isinstance(axis, list | tuple) and len(axis) == 1:
        axis = axis[0]
    if not isinstance(axis, int):
        raise Opaque
    return axis % call.rank


def with_channels_second(call: Call) -> tuple[Value, tuple[int, ...], bool]:
    """The input, its shape, and whether it had to be turned so that the axis is the second."""
    axis, shape = normalised_axis(call), call.shape
    if axis == 1:
        return call.plain(), shape, False
    if axis != call.rank - 1:
        raise Opaque
    return call.front(), (shape[0], shape[-1], *shape[1:-1]), True


@layer("BatchNormalization")
def batch_norm(call: Call) -> list[Held]:
    """With stored statistics, as in inference."""
    own = call.layer
    mean, variance = call.weight(own.moving_mean), call.weight(own.moving_variance)
    beta = call.weight(own.beta) if own.center else None
    if own.scale:
        x, shape, turned = with_channels_second(call)
        inputs = x, call.weight(own.gamma), beta, mean, variance
        return call.made(call.emit("BatchNormalization", inputs, shape), turned)
    if normalised_axis(call) != call.rank - 1:
        raise Opaque
    # Without a scale, a removed channel is zero because its mean is.
    out, shape = call.emit("Sub", [call.plain(), mean], call.shape), call.shape
    factor = call.emit("Rsqrt", [variance], variance.shape)
    out = call.emit("Mul", [out, factor], shape)
    return call.made(call.emit("Add", [out, beta], shape) if beta is not None else out)


@layer("LayerNormalization", "RMSNormalization")
def layer_norm(call: Call) -> list[Held]:
    own, x = call.layer, call.plain()
    op = type(own).__name__
    if normalised_axis(call) != x.ndim - 1 or getattr(own, "rms_scaling", False):
        raise Opaque
    inputs: list[Value | None]
    if op == "RMSNormalization":
        inputs = [x, call.weight(own.scale)]
    else:
        gamma = call.weight(own.gamma) if own.scale else None
        inputs = [x, gamma, call.weight(own.beta) if own.center else None]
    out = call.emit(op, inputs, call.shape, axis=x.ndim - 1)
    call.captured.norms.append((own, out, x.ndim - 1))
    return call.made(out)


@layer("GroupNormalization")
def group_norm(call: Call) -> list[Held]:
    own = call.layer
    x, shape, turned = with_channels_second(call)
    groups = Value(f"groups of {call.name}", (int(own.groups),), "virtual")
    inputs: list[Value | None] = [
        x,
        call.weight(own.gamma) if own.scale else None,
        call.weight(own.beta) if own.center else None,
    ]
    call.edit(lambda after: {"groups": after.size(groups, 0)})
    out = call.emit("GroupNormalization", inputs, shape, groups=groups)
    call.captured.norms.append((own, out, 1))
    return call.made(out, turned)
