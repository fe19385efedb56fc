"""Primitives that work entry by entry."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from spa_kernel.frontends.jax.capture import Operand
from spa_kernel.frontends.jax.convert import Call, primitive
from spa_kernel.graph.ir import Node, Value

UNARY = {
    "abs": "Abs", "neg": "Neg", "sign": "Sign", "sin": "Sin", "sinh": "Sinh", "asin": "Asin",
    "asinh": "Asinh", "tan": "Tan", "tanh": "Tanh", "atan": "Atan", "atanh": "Atanh",
    "erf": "Erf", "sqrt": "Sqrt", "floor": "Floor", "ceil": "Ceil", "round": "Round",
    "exp": "Exp", "log": "Log", "log1p": "Function", "expm1": "Function", "rsqrt": "Rsqrt",
    "logistic": "Sigmoid", "cos": "Cos", "cosh": "Cosh", "acos": "Acos", "acosh": "Acosh",
    "not": "Not", "convert_element_type": "Cast", "stop_gradient": "Identity",
    "copy": "Identity", "copy_p": "Identity", "reduce_precision": "Cast", "cbrt": "Function",
    "erf_inv": "Function", "exp2": "Pointwise", "erfc": "Pointwise", "is_finite": "Pointwise",
    "lgamma": "Pointwise", "digamma": "Pointwise",
}  # fmt: skip
BINARY = {
    "eq": "Equal", "ne": "NotEqual", "gt": "Greater", "ge": "GreaterOrEqual", "lt": "Less",
    "le": "LessOrEqual", "or": "Or", "xor": "Xor", "and": "And", "rem": "Mod",
    "atan2": "Pointwise", "nextafter": "Pointwise",
}  # fmt: skip
ENTRYWISE = {*UNARY, *BINARY} | set(
    "add add_any sub mul div max min pow integer_pow square select_n clamp".split()
)


@primitive(*UNARY)
def unary(call: Call) -> Any:
    return call.emit(UNARY[call.name], (call.value(0),))


@primitive(*BINARY)
def comparison(call: Call) -> Any:
    values, numbers = operands(call)
    return call.emit(BINARY[call.name], values, numbers=numbers)


def operands(call: Call) -> tuple[list[Value], tuple[Any, ...]]:
    """Operands that are tensors; and in the place of each that is not, its number."""
    values = [call.value(i) for i in range(len(call.operands)) if call.number(i) is None]
    return values, tuple(call.number(i) for i in range(len(call.operands)))


@primitive("add", "add_any", "sub", "mul")
def arithmetic(call: Call) -> Any:
    values, numbers = operands(call)
    op = {"add": "Add", "add_any": "Add", "sub": "Sub", "mul": "Mul"}[call.name]
    scalar = next((n for n in numbers if n is not None and n != 0), None)
    if call.name == "mul" and any(n == 0 for n in numbers):
        scalar = 0
    return call.emit(op, values, numbers=numbers, scalar=scalar)


@primitive("div")
def div(call: Call) -> Any:
    values, numbers = operands(call)
    if numbers[0] is not None:
        return call.emit("Reciprocal", values, numbers=numbers)
    mean = averaged(call, values[0], numbers[1])
    return call.emit("Div", values, numbers=numbers) if mean is None else [mean]


def averaged(call: Call, x: Value, number: int | float | None) -> Operand | None:
    """A sum divided by how many entries it has is a mean."""
    made = {out: node for node in call.captured.graph.nodes for out in node.outputs}
    node: Node | None = made.get(x)
    while node is not None and node.op == "Reshape" and node.inputs[0] is not None:
        node = made.get(node.inputs[0])
    if number is None or node is None or node.op != "ReduceSum":
        return None
    summed = node.inputs[0]
    assert summed is not None
    axes = node.attrs["axes"]
    if number != prod(summed.shape[axis] for axis in axes):
        return None
    mean = call.one("ReduceMean", (summed,), node.outputs[0].shape, axes=axes, keepdims=False)
    return mean if mean.shape == x.shape else call.one("Reshape", (mean,), x.shape)


@primitive("max", "min")
def extremum(call: Call) -> Any:
    values, numbers = operands(call)
    number = next((n for n in numbers if n is not None), None)
    if number is None:
        return call.emit("Max" if call.name == "max" else "Min", values)
    if call.name == "max" and number == 0:
        return call.emit("Relu", values, numbers=numbers)
    bound = {"min" if call.name == "max" else "max": number}
    return call.emit("Clip", values, numbers=numbers, **bound)


@primitive("clamp")
def clamp(call: Call) -> Any:
    low, high = call.number(0), call.number(2)
    if low is None or high is None:
        return None
    return call.emit("Clip", (call.value(1),), numbers=(low, high), min=low, max=high)


@primitive("square", "integer_pow", "pow")
def power(call: Call) -> Any:
    exponent = {"square": 2, "integer_pow": call.params.get("y")}.get(call.name)
    if call.name == "pow":
        exponent = call.number(1)
        if call.number(0) is not None or exponent is None:
            values, numbers = operands(call)
            return call.emit("Pow", values, numbers=numbers)
    assert exponent is not None
    if exponent <= 0:
        return call.emit("Pow", (call.value(0),), numbers=(None, exponent))
    return call.emit("Square", (call.value(0),), numbers=(None, exponent), exponent=exponent)


@primitive("select_n")
def select(call: Call) -> Any:
    """``cases[which]``: the first case is for false."""
    which, *cases = call.operands
    if isinstance(which, np.ndarray) and which.size == 1:
        case = cases[int(which.item())]
        if isinstance(case, np.ndarray):
            return [case]
        # Which one it is may have been worked out from a size.
        return call.emit("Cast", (case,), numbers=(int(which.item()),))
    if len(cases) != 2:
        return None
    values, numbers = operands(call)
    number = next((n for n in numbers[1:] if n is not None), None)
    if number is None:
        order = (call.value(0), call.value(2), call.value(1))
        return call.emit("Where", order)
    return call.emit("Where", values, numbers=numbers, value=number)
