"""Operators that work entry by entry, with broadcasting as in numpy."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import Same, Statement, operator


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


# f(0) = 0: a removed channel that was zero stays zero.
operator(
    *"Abs Neg Relu LeakyRelu Elu Selu Celu Gelu Silu Swish Mish HardSwish Sign Sin Sinh Asin Asinh".split(),
    *"Tan Tanh Atan Atanh Erf Sqrt Floor Ceil Round Softsign Shrink ThresholdedRelu PRelu".split(),
    *"Cast Identity Dropout Clip Add Sub Sum Max Min Mean BitwiseAnd Trunc Square".split(),
)(elementwise)

# Zero as soon as one factor is.
operator("Mul", "And", zero="any")(elementwise)

operator(
    *"Exp Log Log1p Expm1 Reciprocal Rsqrt Sigmoid HardSigmoid Softplus LogSigmoid Cos Cosh Acos Acosh".split(),
    *"Div Pow Mod Where Equal Greater GreaterOrEqual Less LessOrEqual Not Or Xor IsNaN IsInf".split(),
    *"BitwiseOr BitwiseNot BitwiseXor NotEqual ZerosLike OnesLike".split(),
    zero="never",
)(elementwise)


def same_shape(node: Node, axes: tuple[int, ...]) -> Iterator[Statement]:
    """The first input's listed axes go through unchanged."""
    x = node.inputs[0]
    assert x is not None
    for out in node.outputs:
        for axis in axes:
            if axis < min(x.ndim, out.ndim) and x.shape[axis] == out.shape[axis]:
                yield Same((out, axis), (x, axis))


def axis_of(value: Value | None, axis: int) -> Axis:
    """An axis of an operand that must be there."""
    assert value is not None
    return value, axis
