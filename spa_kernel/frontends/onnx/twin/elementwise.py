"""Operators that work entry by entry."""

from __future__ import annotations

from functools import reduce
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from spa_kernel.frontends.onnx.twin.dtypes import torch_type
from spa_kernel.frontends.onnx.twin.registry import Call, Known, operator

PLAIN: dict[str, Any] = {
    "Abs": torch.abs, "Neg": torch.neg, "Relu": torch.relu, "Sign": torch.sign,
    "Sin": torch.sin, "Sinh": torch.sinh, "Asin": torch.asin, "Asinh": torch.asinh,
    "Cos": torch.cos, "Cosh": torch.cosh, "Acos": torch.acos, "Acosh": torch.acosh,
    "Tan": torch.tan, "Tanh": torch.tanh, "Atan": torch.atan, "Atanh": torch.atanh,
    "Erf": torch.erf, "Sqrt": torch.sqrt, "Floor": torch.floor, "Ceil": torch.ceil,
    "Round": torch.round, "Exp": torch.exp, "Log": torch.log, "Reciprocal": torch.reciprocal,
    "Sigmoid": torch.sigmoid, "Softplus": F.softplus, "Softsign": F.softsign, "Mish": F.mish,
    "HardSwish": F.hardswish, "Not": torch.logical_not, "IsNaN": torch.isnan,
    "BitwiseNot": torch.bitwise_not,
}  # fmt: skip
PAIRS: dict[str, Any] = {
    "Add": torch.add, "Sub": torch.sub, "Mul": torch.mul, "And": torch.logical_and,
    "Or": torch.logical_or, "Xor": torch.logical_xor, "Equal": torch.eq, "Greater": torch.gt,
    "GreaterOrEqual": torch.ge, "Less": torch.lt, "LessOrEqual": torch.le,
    "BitwiseAnd": torch.bitwise_and, "BitwiseOr": torch.bitwise_or,
    "BitwiseXor": torch.bitwise_xor,
}  # fmt: skip


@operator(*PLAIN)
def plain(call: Call, x: Tensor) -> Any:
    return PLAIN[call.op](x)


@operator("Identity")
def identity(call: Call, x: Any) -> Any:
    return x


@operator(*PAIRS)
def pair(call: Call, a: Tensor, b: Tensor) -> Any:
    if call.attr("broadcast"):
        raise call.refuse("it matches axes as operator sets before 7 did")
    return PAIRS[call.op](a, b)


@operator("Div")
def div(call: Call, a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


@operator("Pow")
def power(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


@operator("Mod")
def mod(call: Call, a: Tensor, b: Tensor) -> Tensor:
    return torch.fmod(a, b) if call.attr("fmod", 0) else torch.remainder(a, b)


@operator("Max", "Min")
def extreme(call: Call, *operands: Tensor) -> Tensor:
    return reduce(torch.maximum if call.op == "Max" else torch.minimum, operands)


@operator("Sum", "Mean")
def total(call: Call, *operands: Tensor) -> Tensor:
    found = reduce(torch.add, operands)
    return found / len(operands) if call.op == "Mean" else found


@operator("Where")
def where(call: Call, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


@operator("IsInf")
def is_inf(call: Call, x: Tensor) -> Tensor:
    positive, negative = call.attr("detect_positive", 1), call.attr("detect_negative", 1)
    found = torch.isinf(x)
    if not positive:
        found = found & (x < 0)
    return found if negative else found & (x > 0)


@operator("LeakyRelu")
def leaky_relu(call: Call, x: Tensor) -> Tensor:
    return F.leaky_relu(x, call.attr("alpha", 0.01))


@operator("Elu")
def elu(call: Call, x: Tensor) -> Tensor:
    return F.elu(x, call.attr("alpha", 1.0))


@operator("Celu")
def celu(call: Call, x: Tensor) -> Tensor:
    return F.celu(x, call.attr("alpha", 1.0))


@operator("Selu")
def selu(call: Call, x: Tensor) -> Tensor:
    alpha = call.attr("alpha", 1.67326319217681884765625)
    gamma = call.attr("gamma", 1.05070102214813232421875)
    return gamma * F.elu(x, alpha)


@operator("Gelu")
def gelu(call: Call, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=call.attr("approximate", "none"))


@operator("Swish")
def swish(call: Call, x: Tensor) -> Tensor:
    alpha = call.attr("alpha", 1.0)
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@operator("HardSigmoid")
def hard_sigmoid(call: Call, x: Tensor) -> Tensor:
    alpha, beta = call.attr("alpha", 0.2), call.attr("beta", 0.5)
    if abs(alpha - 1 / 6) < 1e-6 and beta == 0.5:
        return F.hardsigmoid(x)
    return torch.clamp(alpha * x + beta, 0.0, 1.0)


@operator("ThresholdedRelu")
def thresholded_relu(call: Call, x: Tensor) -> Tensor:
    return F.threshold(x, call.attr("alpha", 1.0), 0.0)


@operator("Shrink")
def shrink(call: Call, x: Tensor) -> Tensor:
    lambd, bias = call.attr("lambd", 0.5), call.attr("bias", 0.0)
    zero = torch.zeros((), dtype=x.dtype, device=call.device)
    return torch.where(x > lambd, x - bias, torch.where(x < -lambd, x + bias, zero))


@operator("PRelu")
def prelu(call: Call, x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


@operator("Clip", settings=(1, 2))
def clip(call: Call, x: Tensor, low: Known | None = None, high: Known | None = None) -> Tensor:
    bounds = [
        call.attr(name) if content is None else np.asarray(content).item()
        for name, content in (("min", low), ("max", high))
    ]
    return x if bounds == [None, None] else torch.clamp(x, *bounds)


@operator("Cast")
def cast(call: Call, x: Tensor) -> Tensor:
    return x.to(torch_type(call.attr("to"), call.single))


@operator("CastLike")
def cast_like(call: Call, x: Tensor, like: Tensor) -> Tensor:
    return x.to(like.dtype)


@operator("Dropout")
def dropout(
    call: Call, x: Tensor, ratio: Tensor | None = None, training: Tensor | None = None
) -> Tensor:
    if training is not None and bool(training):
        raise call.refuse("it drops entries at random")
    if call.wants(1):
        raise call.refuse("its mask is asked for")
    return x
