"""Activations, arithmetic, comparisons and reductions."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import keras
import numpy as np
from onnx import helper

from spa_kernel.frontends.onnx.to_keras.call import Call, Unbuilt, Value
from spa_kernel.frontends.onnx.to_keras.registry import builds

ops = keras.ops

ACTIVATIONS = {
    "Relu": "relu",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "Selu": "selu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "HardSwish": "hard_silu",
    "Mish": "mish",
}
UNARY: dict[str, Callable[[Any], Any]] = {
    "Exp": ops.exp,
    "Log": ops.log,
    "Sqrt": ops.sqrt,
    "Abs": ops.abs,
    "Neg": ops.negative,
    "Erf": ops.erf,
    "Floor": ops.floor,
    "Ceil": ops.ceil,
    "Sign": ops.sign,
    "Sin": ops.sin,
    "Cos": ops.cos,
    "Reciprocal": lambda x: 1.0 / x,
    "Not": ops.logical_not,
}
BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "Add": ops.add,
    "Sub": ops.subtract,
    "Mul": ops.multiply,
    "Pow": ops.power,
    "Max": ops.maximum,
    "Min": ops.minimum,
    "Sum": ops.add,
    "Equal": ops.equal,
    "Greater": ops.greater,
    "GreaterOrEqual": ops.greater_equal,
    "Less": ops.less,
    "LessOrEqual": ops.less_equal,
    "And": ops.logical_and,
    "Or": ops.logical_or,
}
REDUCED: dict[str, Callable[..., Any]] = {
    "ReduceMean": ops.mean,
    "ReduceSum": ops.sum,
    "ReduceMax": ops.max,
    "ReduceMin": ops.min,
    "ReduceProd": ops.prod,
    "ReduceSumSquare": lambda x, **where: ops.sum(ops.square(x), **where),
    "ReduceL1": lambda x, **where: ops.sum(ops.abs(x), **where),
    "ReduceL2": lambda x, **where: ops.sqrt(ops.sum(ops.square(x), **where)),
    "ReduceLogSumExp": ops.logsumexp,
}


@builds(*ACTIVATIONS)
def activation(call: Call) -> Value:
    return call.elementwise(keras.layers.Activation(ACTIVATIONS[call.proto.op_type]))


@builds(*UNARY)
def unary(call: Call) -> Value:
    return call.elementwise(UNARY[call.proto.op_type])


@builds("Identity", "Dropout")
def nothing(call: Call) -> Value:
    return call.value()


@builds(*BINARY)
def binary(call: Call) -> Value:
    operator = BINARY[call.proto.op_type]
    return call.elementwise(lambda *xs: reduce(operator, xs))


@builds("Div")
def divide(call: Call) -> Value:
    if not call.value().dtype.startswith("float"):
        raise Unbuilt("with whole numbers")
    return call.elementwise(ops.divide)


@builds("Mean")
def mean(call: Call) -> Value:
    return call.elementwise(lambda *xs: reduce(ops.add, xs) / float(len(xs)))


@builds("Where")
def where(call: Call) -> Value:
    return call.elementwise(ops.where)


@builds("LeakyRelu")
def leaky(call: Call) -> Value:
    return call.elementwise(keras.layers.LeakyReLU(call.attr("alpha", 0.01)))


@builds("ThresholdedRelu")
def thresholded(call: Call) -> Value:
    return call.elementwise(keras.layers.ReLU(threshold=call.attr("alpha", 1.0)))


@builds("Elu", "Celu")
def elu(call: Call) -> Value:
    function = ops.elu if call.proto.op_type == "Elu" else ops.celu
    return call.elementwise(lambda x: function(x, alpha=call.attr("alpha", 1.0)))


@builds("HardSigmoid")
def hard_sigmoid(call: Call) -> Value:
    slope, middle = call.attr("alpha", 0.2), call.attr("beta", 0.5)
    return call.elementwise(lambda x: ops.clip(x * slope + middle, 0.0, 1.0))


@builds("Gelu")
def gelu(call: Call) -> Value:
    rough = call.attr("approximate", "none") == "tanh"
    return call.elementwise(lambda x: ops.gelu(x, approximate=rough))


@builds("Clip")
def clip(call: Call) -> Value:
    low, high = (call.setting(name, slot) for name, slot in (("min", 1), ("max", 2)))
    low, high = (n[0] if isinstance(n, list) else n for n in (low, high))
    call.inputs = call.inputs[:1]
    if low == 0 and high is not None:
        return call.elementwise(keras.layers.ReLU(max_value=float(high)))

    def write(x: Any) -> Any:
        x = x if low is None else ops.maximum(x, low)
        return x if high is None else ops.minimum(x, high)

    return call.elementwise(write)


@builds("PRelu")
def prelu(call: Call) -> Value:
    return call.elementwise(lambda x, slope: ops.relu(x) - slope * ops.relu(-x))


@builds("Cast")
def cast(call: Call) -> Value:
    kind = np.dtype(helper.tensor_dtype_to_np_dtype(call.attr("to"))).name
    return call.elementwise(lambda x: ops.cast(x, kind))


@builds("Softmax", "LogSoftmax")
def softmax(call: Call) -> Value:
    function = ops.softmax if call.proto.op_type == "Softmax" else ops.log_softmax
    axis = call.axis(-1 if call.opset >= 13 else 1)
    if call.opset < 13 and axis != call.rank - 1:
        raise Unbuilt("over several axes")
    return Value(first=function(call.first(), axis=axis))


@builds(*REDUCED)
def reduction(call: Call) -> Value:
    axes = call.setting("axes", 1)
    if not axes and call.attr("noop_with_empty_axes", 0):
        return call.value()
    axis = tuple(int(n) % call.rank for n in axes) if axes else None
    keep = bool(call.attr("keepdims", 1))
    return Value(first=REDUCED[call.proto.op_type](call.first(), axis=axis, keepdims=keep))


@builds("ArgMax", "ArgMin")
def arg(call: Call) -> Value:
    if call.attr("select_last_index", 0):
        raise Unbuilt("with the last index")
    function = ops.argmax if call.proto.op_type == "ArgMax" else ops.argmin
    found = function(call.first(), axis=call.axis(0), keepdims=bool(call.attr("keepdims", 1)))
    return Value(first=ops.cast(found, "int64"))
