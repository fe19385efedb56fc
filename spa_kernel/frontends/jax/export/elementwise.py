"""Primitives that work entry by entry; operands may be broadcast to one another."""

from __future__ import annotations

from typing import Any

import numpy as np

from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.sizes import Bound, broadcast
from spa_kernel.frontends.jax.export.tensors import Tensor, constant, total

UNARY = {
    "abs": "Abs", "neg": "Neg", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "asin": "Asin",
    "asinh": "Asinh", "tan": "Tan", "tanh": "Tanh", "atan": "Atan", "atanh": "Atanh",
    "cos": "Cos", "cosh": "Cosh", "acos": "Acos", "acosh": "Acosh", "erf": "Erf", "sqrt": "Sqrt",
    "floor": "Floor", "ceil": "Ceil", "exp": "Exp", "log": "Log", "logistic": "Sigmoid",
}  # fmt: skip
BINARY = {
    "add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul", "pow": "Pow",
    "eq": "Equal", "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less", "le": "LessOrEqual",
}  # fmt: skip
LOGICAL = {"and": "And", "or": "Or", "xor": "Xor", "not": "Not"}


def step(call: Call, op: str, *operands: Any, dtype: Any = None, **attrs: Any) -> Tensor:
    """An operator on operands as they are, not broadcast to their full shape.

    Numbers are of the type of the first tensor, as the result is by default.
    """
    first = next(t for t in operands if isinstance(t, Tensor))
    tensors = [
        t if t is None or isinstance(t, Tensor) else constant(t, first.dtype) for t in operands
    ]
    # Axes are put back in their order afterwards, where nothing else wants them otherwise.
    (tensors, perm), dtype = turned(tensors), dtype or first.dtype
    shape = broadcast(*(t.shape for t in tensors if t is not None))
    made = (op, *tensors)
    found = call.sheet.node(op, tensors, shape, dtype, made, **attrs)
    return found if perm is None else call.sheet.transpose(found, perm)


def turned(tensors: list[Tensor | None]) -> tuple[list[Tensor | None], tuple[int, ...] | None]:
    """What was transposed alike as it was before, and how it was transposed."""
    perms = {t.made[2] for t in tensors if t is not None and t.made[0] == "Transpose"}
    alike = all(t is None or t.made[0] == "Transpose" or t.number is not None for t in tensors)
    if len(perms) != 1 or not alike:
        return tensors, None
    inner = [
        t if t is None else t.made[1] if t.made[0] == "Transpose" else constant(t.number, t.dtype)
        for t in tensors
    ]
    return inner, perms.pop()


def entries(call: Call, op: str, *operands: Any, **attrs: Any) -> list[Tensor]:
    """The operator that makes the equation's result."""
    return [step(call, op, *operands, dtype=call.dtype, **attrs)]


@primitive(*UNARY)
def unary(call: Call) -> list[Tensor]:
    return entries(call, UNARY[call.name], *call.operands)


@primitive(*BINARY)
def binary(call: Call) -> list[Tensor]:
    a, b = call.operands
    op = BINARY[call.name]
    if a.dtype == bool and op not in ("Equal", "Add", "Mul"):
        raise call.refuse("of truth values")
    if a.dtype == bool and op in ("Add", "Mul"):
        op = "Or" if op == "Add" else "And"
    if op in ("Add", "Sub") and b.number == 0:
        return [a]
    biased = with_bias(call, a, b) if op == "Add" else None
    return entries(call, op, a, b) if biased is None else [biased]


def with_bias(call: Call, a: Tensor, b: Tensor) -> Tensor | None:
    """A convolution that adds its bias by itself."""
    if a.made[0] != "Transpose" or a.made[1].made[0] != "Conv":
        return None
    conv, perm = a.made[1:]
    if b.ndim != 1 or b.shape != (conv.shape[1],) or perm[-1] != 1:
        return None
    _, x, kernel, attrs = conv.made
    return call.sheet.transpose(call.sheet.node("Conv", (x, kernel, b), conv.shape, **attrs), perm)


@primitive(*LOGICAL)
def logical(call: Call) -> list[Tensor]:
    op = LOGICAL[call.name]
    return entries(call, op if call.dtype == bool else f"Bitwise{op}", *call.operands)


@primitive("ne")
def ne(call: Call) -> list[Tensor]:
    return entries(call, "Not", step(call, "Equal", *call.operands, dtype=bool))


@primitive("rem")
def rem(call: Call) -> list[Tensor]:
    return entries(call, "Mod", *call.operands, fmod=1)


@primitive("div")
def div(call: Call) -> list[Tensor]:
    a, b = call.operands
    mean = averaged(call, a, b)
    return entries(call, "Div", a, b) if mean is None else [mean]


def averaged(call: Call, a: Tensor, b: Tensor) -> Tensor | None:
    """A sum divided by how many entries it has is a mean."""
    inner, number = a, b.number
    while inner.made[0] == "Reshape":
        inner = inner.made[1]
    if number is None or inner.made[0] not in ("ReduceSum", "Windows"):
        return None
    if inner.made[0] == "Windows":
        return inner.made[1] if inner is a and number == inner.made[2] else None
    _, x, axes = inner.made
    try:
        count = total(tuple(x.shape[axis] for axis in axes))
    except Bound:
        return None
    if number != count or not a.floats:
        return None
    mean = call.sheet.node("ReduceMean", (x, constant(axes, np.int64)), inner.shape, keepdims=0)
    return call.sheet.reshape(mean, a.shape)


@primitive("max", "min")
def extremum(call: Call) -> list[Tensor]:
    a, b = call.operands
    x, bound = (b, a.number) if a.number is not None else (a, b.number)
    op = "Max" if call.name == "max" else "Min"
    if bound is None or not x.floats:
        return entries(call, op, a, b)
    if bound == (-np.inf if op == "Max" else np.inf):
        return [x]
    if op == "Max":
        return entries(call, "Relu", x) if bound == 0 else entries(call, "Clip", x, bound)
    (inner,), perm = turned([x])
    assert inner is not None
    low = bounded(inner)
    if low is None or low > bound:
        return entries(call, "Clip", x, None, bound)
    found = step(call, "Clip", inner.made[1], low, bound)
    return [found if perm is None else call.sheet.transpose(found, perm)]


def bounded(x: Tensor) -> float | None:
    """From which number on a tensor was cut off, and nothing else."""
    if x.made[0] == "Relu":
        return 0.0
    return x.made[2].number if x.made[0] == "Clip" and len(x.made) == 3 else None


@primitive("clamp")
def clamp(call: Call) -> list[Tensor]:
    low, x, high = call.operands
    if low.number is not None and high.number is not None:
        return entries(call, "Clip", x, low.number, high.number)
    return entries(call, "Min", step(call, "Max", x, low), high)


@primitive("square")
def square(call: Call) -> list[Tensor]:
    (x,) = call.operands
    return entries(call, "Mul", x, x)


@primitive("integer_pow")
def integer_pow(call: Call) -> list[Tensor]:
    (x,), y = call.operands, int(call.param("y"))
    if y == 2:
        return entries(call, "Mul", x, x)
    if y >= 0:
        return entries(call, "Pow", x, constant(y, x.dtype))
    return entries(call, "Reciprocal", step(call, "Pow", x, -y))


@primitive("rsqrt")
def rsqrt(call: Call) -> list[Tensor]:
    return entries(call, "Reciprocal", step(call, "Sqrt", call.operands[0]))


@primitive("cbrt")
def cbrt(call: Call) -> list[Tensor]:
    (x,) = call.operands
    root = step(call, "Pow", step(call, "Abs", x), 1 / 3)
    return entries(call, "Mul", step(call, "Sign", x), root)


@primitive("log1p")
def log1p(call: Call) -> list[Tensor]:
    return entries(call, "Log", step(call, "Add", call.operands[0], 1))


@primitive("expm1")
def expm1(call: Call) -> list[Tensor]:
    return entries(call, "Sub", step(call, "Exp", call.operands[0]), one(call))


def one(call: Call) -> Tensor:
    return constant(1, call.dtype)


@primitive("exp2")
def exp2(call: Call) -> list[Tensor]:
    return entries(call, "Exp", step(call, "Mul", call.operands[0], np.log(2)))


@primitive("erfc")
def erfc(call: Call) -> list[Tensor]:
    return entries(call, "Sub", one(call), step(call, "Erf", call.operands[0]))


@primitive("round")
def round_(call: Call) -> list[Tensor]:
    (x,) = call.operands
    if call.param("rounding_method") == 1:
        return entries(call, "Round", x)
    up = step(call, "Floor", step(call, "Add", step(call, "Abs", x), 0.5))
    return entries(call, "Mul", step(call, "Sign", x), up)


@primitive("is_finite")
def is_finite(call: Call) -> list[Tensor]:
    (x,) = call.operands
    return entries(call, "Less", step(call, "Abs", x), constant(np.inf, x.dtype))


@primitive("convert_element_type")
def convert_element_type(call: Call) -> list[Tensor]:
    return [call.sheet.cast(call.operands[0], call.dtype)]


@primitive("stop_gradient", "copy", "copy_p", "optimization_barrier", "sharding_constraint")
def identity(call: Call) -> list[Tensor]:
    return list(call.operands)


@primitive("reduce_precision")
def reduce_precision(call: Call) -> list[Tensor] | None:
    bits = int(call.param("exponent_bits")), int(call.param("mantissa_bits"))
    return list(call.operands) if bits == (8, 23) and call.dtype == np.float32 else None


@primitive("select_n")
def select(call: Call) -> list[Tensor]:
    """``cases[which]``: the first case is for false."""
    which, *cases = call.operands
    index = which.number
    if index is not None:
        return [call.sheet.expand(cases[int(index)], call.out)]
    if which.dtype == bool:
        false, true = cases
        (made,) = entries(call, "Where", which, true, false)
        made.made = wrapped(which, true, false) or made.made
        return [made]
    found = cases[-1]
    for i, case in reversed(list(enumerate(cases[:-1]))):
        this = step(call, "Equal" if i else "LessOrEqual", which, i, dtype=bool)
        shape = broadcast(this.shape, case.shape, found.shape)
        found = call.sheet.node("Where", (this, case, found), shape, call.dtype)
    return [found]


def wrapped(which: Tensor, true: Tensor, false: Tensor) -> tuple[Any, ...]:
    """An index that may count from the back, as ONNX allows it to."""
    if which.made[0] == "Less" and true.made[0] == "Add":
        (_, x, zero), (_, y, size) = which.made, true.made
        if x is y is false and zero.number == 0 and size.number is not None:
            return "Wrapped", x, size.number
    return ()
