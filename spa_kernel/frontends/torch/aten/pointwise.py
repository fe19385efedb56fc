"""Entry-by-entry ATen calls."""

from __future__ import annotations

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value

ONNX_NAME = {
    "abs": "Abs",
    "neg": "Neg",
    "relu": "Relu",
    "leaky_relu": "LeakyRelu",
    "elu": "Elu",
    "gelu": "Gelu",
    "silu": "Silu",
    "mish": "Mish",
    "hardswish": "HardSwish",
    "sign": "Sign",
    "sin": "Sin",
    "sinh": "Sinh",
    "asin": "Asin",
    "tan": "Tan",
    "tanh": "Tanh",
    "atan": "Atan",
    "erf": "Erf",
    "sqrt": "Sqrt",
    "floor": "Floor",
    "ceil": "Ceil",
    "round": "Round",
    "trunc": "Trunc",
    "exp": "Exp",
    "log": "Log",
    "log1p": "Log1p",
    "expm1": "Expm1",
    "reciprocal": "Reciprocal",
    "rsqrt": "Rsqrt",
    "sigmoid": "Sigmoid",
    "cos": "Cos",
    "cosh": "Cosh",
    "hardsigmoid": "HardSigmoid",
    "softplus": "Softplus",
    "log_sigmoid_forward": "LogSigmoid",
    "add": "Add",
    "sub": "Sub",
    "rsub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "remainder": "Mod",
    "fmod": "Mod",
    "maximum": "Max",
    "minimum": "Min",
    "where": "Where",
    "eq": "Equal",
    "ne": "NotEqual",
    "gt": "Greater",
    "ge": "GreaterOrEqual",
    "lt": "Less",
    "le": "LessOrEqual",
    "logical_not": "Not",
    "logical_and": "And",
    "logical_or": "Or",
    "logical_xor": "Xor",
    "isnan": "IsNaN",
    "isinf": "IsInf",
    "bitwise_not": "BitwiseNot",
    "bitwise_and": "BitwiseAnd",
    "bitwise_or": "BitwiseOr",
    "zeros_like": "ZerosLike",
    "ones_like": "OnesLike",
    "full_like": "OnesLike",
    "empty_like": "OnesLike",
    "rand_like": "OnesLike",
    "randn_like": "OnesLike",
    "softshrink": "Shrink",
    "hardshrink": "Shrink",
    "threshold": "ThresholdedRelu",
    "prelu": "PRelu",
    "_prelu_kernel": "PRelu",
    "square": "Square",
    "asinh": "Asinh",
    "atanh": "Atanh",
    "acos": "Acos",
    "acosh": "Acosh",
    "sgn": "Sign",
    "positive": "Identity",
    "selu": "Selu",
    "celu": "Celu",
    "bitwise_xor": "BitwiseXor",
    "fmax": "Max",
    "fmin": "Min",
}
OTHERS = (
    "angle atan2 bernoulli bitwise_left_shift bitwise_right_shift cauchy complex conj_physical "
    "deg2rad digamma erfc erfinv exp2 exponential float_power frac gcd geometric heaviside "
    "hypot i0 igamma igammac isfinite isneginf isposinf lcm ldexp lgamma log10 log2 log_normal "
    "logaddexp logaddexp2 logit nan_to_num nextafter normal poisson polar polygamma rad2deg "
    "random sinc signbit special_entr special_erfcx special_i0e special_i1 special_i1e "
    "special_log_ndtr special_ndtri special_xlog1py uniform xlogy"
)
"""Entry by entry too; whether zero stays zero is not asked."""  # fmt: skip


@aten(*OTHERS.split())
def other_pointwise(call: Call) -> None:
    call.emit("Pointwise", call.tensors())


@aten(*ONNX_NAME)
def pointwise(call: Call) -> None:
    name = ONNX_NAME.get(call.name) or ONNX_NAME[call.name.rstrip("_")]
    numbers = [call.args.get(key) for key in ("self", "other")]
    scalar = next((n for n in numbers if isinstance(n, int | float) and n), None)
    attrs = {k: call.args[k] for k in ("alpha", "rounding_mode") if k in call.args}
    tensors = call.tensors()
    if call.name == "rsub":
        tensors.reverse()  # the coefficient belongs to what is subtracted
    call.emit(name, tensors, scalar=scalar, **attrs)


@aten(
    "clone",
    "contiguous",
    "detach",
    "alias",
    "_to_copy",
    "lift_fresh",
    "lift_fresh_copy",
    "dropout",
    "native_dropout",
    "copysign",
    "view_dtype",
    "_conj",
    "resolve_conj",
)
def identity(call: Call) -> None:
    call.emit("Identity", call.tensors()[:1])


@aten("rrelu_with_noise")
def rrelu(call: Call) -> None:
    call.emit("LeakyRelu", [call.args["self"]])


@aten("hardtanh", "clamp", "clamp_min", "clamp_max", "relu6")
def clip(call: Call) -> None:
    low = call.args.get("min", call.args.get("min_val"))
    high = call.args.get("max", call.args.get("max_val"))
    limits = {} if len(call.tensors()) > 1 else {"min": low, "max": high}
    call.emit("Clip", call.tensors(), **limits)


@aten("copy_")
def copy(call: Call) -> None:
    """The destination takes the source's entries, broadcast."""
    call.emit("Assign", [call.args["self"], call.args["src"]])


@aten("pow")
def power(call: Call) -> None:
    base, exponent = call.args.get("self"), call.args.get("exponent")
    if isinstance(base, Value) and isinstance(exponent, int | float) and exponent > 0:
        call.emit("Square", [base], exponent=exponent)
    else:
        call.emit("Pow", call.tensors())


@aten("masked_fill")
def masked_fill(call: Call) -> None:
    call.emit("Where", [call.args["mask"], call.args["self"]], value=call.args["value"])


@aten("addcmul", "addcdiv", "lerp")
def ternary(call: Call) -> None:
    call.emit("Where", call.tensors())


@aten("fill_", "zero_")
def fill(call: Call) -> None:
    call.emit("OnesLike", [call.args["self"]])


@aten("glu")
def glu(call: Call) -> None:
    """First half times the sigmoid of the second half of an axis."""
    x, dim, out = call.args["self"], call.args["dim"], call.outs[0]
    halves = [Value(f"{out.name}_{part}", out.shape) for part in ("value", "gate")]
    gate = Value(f"{out.name}_sigmoid", out.shape)
    call.emit("Split", [x], halves, axis=dim % x.ndim)
    call.emit("Sigmoid", [halves[1]], [gate])
    call.emit("Mul", [halves[0], gate])
