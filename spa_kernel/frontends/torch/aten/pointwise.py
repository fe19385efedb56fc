"""Entry-by-entry ATen calls."""

from __future__ import annotations

from spa_kernel.frontends.torch.aten.registry import Call, aten
from spa_kernel.graph.ir import Value

ONNX_NAME = {
    "abs": "Abs", "neg": "Neg", "relu": "Relu", "leaky_relu": "LeakyRelu", "elu": "Elu",
    "gelu": "Gelu", "silu": "Silu", "mish": "Mish", "hardswish": "HardSwish", "sign": "Sign",
    "sin": "Sin", "sinh": "Sinh", "asin": "Asin", "tan": "Tan", "tanh": "Tanh", "atan": "Atan",
    "erf": "Erf", "sqrt": "Sqrt", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "trunc": "Trunc", "exp": "Exp", "log": "Log", "log1p": "Log1p", "expm1": "Expm1",
    "reciprocal": "Reciprocal", "rsqrt": "Rsqrt", "sigmoid": "Sigmoid", "cos": "Cos",
    "cosh": "Cosh", "hardsigmoid": "HardSigmoid", "softplus": "Softplus",
    "log_sigmoid_forward": "LogSigmoid", "add": "Add", "sub": "Sub", "rsub": "Sub",
    "mul": "Mul", "div": "Div", "remainder": "Mod", "fmod": "Mod", "maximum": "Max",
    "minimum": "Min", "where": "Where", "eq": "Equal", "ne": "NotEqual", "gt": "Greater",
    "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual", "logical_not": "Not",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "isnan": "IsNaN",
    "isinf": "IsInf", "bitwise_not": "BitwiseNot", "bitwise_and": "BitwiseAnd",
    "bitwise_or": "BitwiseOr", "zeros_like": "ZerosLike", "ones_like": "OnesLike",
    "full_like": "OnesLike", "empty_like": "OnesLike", "rand_like": "OnesLike",
    "randn_like": "OnesLike", "softshrink": "Shrink", "hardshrink": "Shrink",
    "threshold": "ThresholdedRelu", "prelu": "PRelu", "_prelu_kernel": "PRelu",
    "square": "Square",
}  # fmt: skip


@aten(*ONNX_NAME)
def pointwise(call: Call) -> None:
    name = ONNX_NAME.get(call.name) or ONNX_NAME[call.name.rstrip("_")]
    numbers = [call.args.get(key) for key in ("self", "other")]
    scalar = next((n for n in numbers if isinstance(n, int | float) and n), None)
    call.emit(name, call.tensors(), scalar=scalar)


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


@aten("hardtanh", "clamp", "clamp_min", "clamp_max", "relu6")
def clip(call: Call) -> None:
    if len(call.tensors()) == 1:
        low = call.args.get("min", call.args.get("min_val"))
        high = call.args.get("max", call.args.get("max_val"))
        call.emit("Clip", call.tensors(), min=low, max=high)


@aten("copy_")
def copy(call: Call) -> None:
    """The destination takes the source's entries, broadcast."""
    source = call.args["src"]
    call.emit("Expand" if source.shape != call.outs[0].shape else "Identity", [source])


@aten("pow")
def power(call: Call) -> None:
    base, exponent = call.args.get("self"), call.args.get("exponent")
    if isinstance(base, Value) and isinstance(exponent, int | float) and exponent > 0:
        call.emit("Square", [base])
    else:
        call.emit("Pow", call.tensors())


@aten("masked_fill")
def masked_fill(call: Call) -> None:
    call.emit("Where", [call.args["mask"], call.args["self"]])


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
