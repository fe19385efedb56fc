"""Operators that work entry by entry, with broadcasting as in numpy."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import Fixed, Same, Statement, Summed, Zero, operator


def broadcast(node: Node, *operands: Value | None) -> Iterator[Statement]:
    """Axes are matched from the last one; an axis of size 1 says nothing."""
    for out in node.outputs:
        for value in operands:
            if value is not None:
                shift = out.ndim - value.ndim
                for axis, size in enumerate(value.shape):
                    if size == out.shape[shift + axis] and size != 1:
                        yield Same((out, shift + axis), (value, axis))


def elementwise(node: Node) -> Iterator[Statement]:
    return broadcast(node, *node.inputs)


def names(text: str) -> tuple[str, ...]:
    """Operator names from a list in words."""
    return tuple(text.split())


# f(0) = 0: a removed channel that was zero stays zero.
operator(
    *names("Abs Neg Relu LeakyRelu Elu Selu Celu Gelu Silu Swish Mish HardSwish Sign Sin Sinh"),
    *names("Asin Asinh Tan Tanh Atan Atanh Erf Sqrt Floor Ceil Round Trunc Softsign Shrink PRelu"),
    *names("Cast Identity Dropout Square ZerosLike Function"),
)(elementwise)


def sum_zero(node: Node) -> Zero:
    """Zero where every term is; a number that is added in the code never is."""
    return "never" if node.attrs.get("scalar") else "every"


operator(*names("Add Sub Sum Max Min Mean BitwiseAnd"), zero=sum_zero)(elementwise)

# Zero as soon as one factor is.
operator("Mul", "And", zero="any")(elementwise)


def quotient_zero(node: Node) -> Zero:
    """Zero divided by a number is zero; what 0 / 0 would be is not asked."""
    divisor = (*node.inputs, None)[1]
    return "all" if divisor is None or prod(divisor.shape) == 1 else "never"


operator("Div", zero=quotient_zero)(elementwise)


def clip_zero(node: Node) -> Zero:
    low, high = node.attrs.get("min"), node.attrs.get("max")
    inside = (low is None or low <= 0) and (high is None or high >= 0)
    return "all" if inside and len(node.inputs) == 1 else "never"


operator("Clip", zero=clip_zero)(elementwise)

operator(
    *names("Exp Log Log1p Expm1 Reciprocal Rsqrt Sigmoid HardSigmoid Softplus LogSigmoid Cos Cosh"),
    *names("Acos Acosh ThresholdedRelu Pow Mod Where Equal NotEqual Greater GreaterOrEqual Less"),
    *names("LessOrEqual Not Or Xor Pointwise IsNaN IsInf BitwiseOr BitwiseNot BitwiseXor OnesLike"),
    zero="never",
)(elementwise)


def quantised_zero(node: Node) -> Zero:
    """What stands for zero is zero itself only where the zero point is."""
    return "all" if node.attrs["centred"] else "never"


@operator("QuantizeLinear", "DequantizeLinear", zero=quantised_zero)
def quantised(node: Node) -> Iterator[Statement]:
    """Inputs: data; scales and zero points along ``axis``, or none if there is but one."""
    out, axis = node.outputs[0], node.attrs["axis"]
    yield from broadcast(node, node.inputs[0])
    for value in node.inputs[1:]:
        if value is not None:
            yield Same((out, axis), (value, 0))


@operator("DynamicQuantizeLinear", zero="never")
def dynamically_quantised(node: Node) -> Iterator[Statement]:
    """Its scale comes from the least and the largest entry, between which zero always is."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in range(x.ndim):
        yield Same((out, axis), (x, axis))
        yield Summed((x, axis))


def same_shape(node: Node, axes: tuple[int, ...]) -> Iterator[Statement]:
    """The first input's listed axes go through unchanged."""
    x = node.inputs[0]
    assert x is not None
    for out in node.outputs:
        for axis in axes:
            if axis < min(x.ndim, out.ndim) and x.shape[axis] == out.shape[axis]:
                yield Same((out, axis), (x, axis))


@operator("KeepsSize")
def keeps_size(node: Node) -> Iterator[Statement]:
    """A front end knows why an axis must keep its size."""
    x, axis, why = node.inputs[0], node.attrs["axis"], node.attrs["why"]
    assert x is not None
    yield Fixed((x, axis), f"{node.where} {why}")
    yield from same_shape(node, tuple(range(x.ndim)))


def axis_of(value: Value | None, axis: int) -> Axis:
    """An axis of an operand that must be there."""
    assert value is not None
    return value, axis
