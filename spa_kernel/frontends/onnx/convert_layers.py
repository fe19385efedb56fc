"""Layers, normalisations, reductions and elementwise operators."""

from __future__ import annotations

from string import ascii_letters
from typing import Any

import numpy as np

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.frontends.onnx.convert_attention import made
from spa_kernel.frontends.onnx.geometry import geometry
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.after import After

UNARY = (
    "Abs Neg Relu LeakyRelu Elu Selu Celu Gelu Swish Mish HardSwish Sign Sin Sinh Asin Asinh Tan "
    "Tanh Atan Atanh Erf Sqrt Floor Ceil Round Softsign Shrink ThresholdedRelu Exp Log Reciprocal "
    "Sigmoid HardSigmoid Softplus Cos Cosh Acos Acosh Not IsNaN IsInf BitwiseNot Cast"
)
BROADCAST = (
    "Add Sub Mul Div Pow Mod Max Min Sum Mean And Or Xor Equal Greater GreaterOrEqual Less "
    "LessOrEqual Where PRelu BitwiseAnd BitwiseOr BitwiseXor"
)
REDUCTIONS = (
    "ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum "
    "ReduceLogSumExp ReduceSumSquare"
)


@converts(*UNARY.split())
def unary(call: Call) -> None:
    call.emit(call.proto.op_type, (call.x(),))


@converts("CastLike")
def cast_like(call: Call) -> None:
    call.emit("Cast", (call.x(),))


@converts("Dropout")
def dropout(call: Call) -> bool | None:
    training = call.literal(2)
    if not call.settled(2) or (training is not None and bool(training)):
        return False
    call.emit("Dropout", (call.x(),))
    return None


@converts("Clip")
def clip(call: Call) -> bool | None:
    if not call.settled(1, 2):
        return False
    bounds = [call.literal(1), call.literal(2)]
    low, high = (
        call.attr(name) if content is None else content.item()
        for name, content in zip(("min", "max"), bounds, strict=True)
    )
    call.emit("Clip", (call.x(),), min=low, max=high)
    return None


@converts(*BROADCAST.split())
def broadcast(call: Call) -> bool | None:
    if call.opset < 7 and call.attr("broadcast"):
        return False  # before operator set 7, axes were matched from the attribute "axis" on
    call.emit(call.proto.op_type, tuple(operand(call, s) for s in range(len(call.proto.input))))
    return None


def operand(call: Call, slot: int) -> Value | None:
    """An operand of a broadcast; a uniform one that the model computes ties no axis."""
    number, content = call.uniform(slot), call.literal(slot)
    if number is None or content is None or content.size == 1:
        return call.data(slot)
    array, out = content, call.out

    def want(after: After) -> np.ndarray:
        # A copy of the broadcast output's losses, along the axes that the operand has.
        cut = array
        for axis, mask in after.losses(out).items():
            mine = axis - (out.ndim - array.ndim)
            if mine >= 0 and array.shape[mine] == len(mask):
                cut = np.compress(mask, cut, axis=mine)
        return cut

    call.rewrite(slot, want)
    one = np.full((1,) * array.ndim, number, array.dtype)
    return Value(call.proto.input[slot], one.shape, "constant", str(array.dtype), one)


@converts("Conv", "ConvTranspose")
def conv(call: Call) -> None:
    groups = int(call.attr("group", 1))
    attrs: dict[str, Any] = {"group": groups, "geometry": geometry(call)}
    if groups > 1:
        virtual = Value(f"groups of {call.name}", (groups,), "virtual", "int64")
        attrs["groups"] = virtual
        call.rewrite("group", lambda after: after.size(virtual, 0))
    call.emit(call.proto.op_type, (call.x(0), call.x(1), call.affine(2, 0.0)), **attrs)


@converts("Gemm")
def gemm(call: Call) -> bool | None:
    if len(call.shape(0)) != 2 or len(call.shape(1)) != 2:
        return False
    inputs = (call.x(0), call.x(1), operand(call, 2) if call.has(2) else None)
    trans_a, trans_b = int(call.attr("transA", 0)), int(call.attr("transB", 0))
    alpha, beta = call.attr("alpha", 1.0), call.attr("beta", 1.0)
    call.emit("Gemm", inputs, transA=trans_a, transB=trans_b, alpha=alpha, beta=beta)
    return None


@converts("MatMul")
def matmul(call: Call) -> None:
    call.emit("MatMul", (call.x(0), call.x(1)))


@converts("Einsum")
def einsum(call: Call) -> bool | None:
    ranks = [len(call.shape(slot)) for slot in range(len(call.proto.input))]
    equation = explicit(call.attr("equation").replace(" ", ""), ranks)
    terms = equation.partition("->")[0].split(",")
    if any(len(set(term)) != len(term) for term in terms):
        return False  # a repeated letter takes a diagonal
    sizes: dict[str, int] = {}
    for slot, term in enumerate(terms):
        for letter, size in zip(term, call.shape(slot), strict=True):
            if sizes.setdefault(letter, size) != size:
                return False  # an axis of one that is stretched
    call.emit("Einsum", call.operands(), equation=equation)
    return None


def explicit(equation: str, ranks: list[int]) -> str:
    """An equation with an arrow, and with letters for an ellipsis."""
    inputs, arrow, output = equation.partition("->")
    unused = [c for c in ascii_letters if c not in equation]
    terms, longest = inputs.split(","), 0
    for i, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        if "..." in term:
            count = rank - len(term) + 3
            # Counted from the last axis, as everywhere.
            terms[i] = term.replace("...", "".join(unused[:count][::-1]))
            longest = max(longest, count)
    others = "".join(unused[:longest][::-1])
    if not arrow:
        letters = sorted({c for c in inputs if c.isalpha()})
        output = others + "".join(c for c in letters if inputs.count(c) == 1)
    return ",".join(terms) + "->" + output.replace("...", others)


@converts("BatchNormalization")
def batch_norm(call: Call) -> bool | None:
    if call.attr("training_mode", 0) or len([o for o in call.proto.output if o]) > 1:
        return False
    inputs = (call.affine(1, 1.0), call.affine(2, 0.0), call.data(3), call.data(4))
    epsilon = call.attr("epsilon", 1e-5)
    call.emit("BatchNormalization", (call.x(), *inputs), epsilon=epsilon)
    return None


@converts("LayerNormalization", "RMSNormalization")
def layer_norm(call: Call) -> bool | None:
    if any(call.proto.output[1:]):
        return False
    axis = call.axis(-1)
    bias = call.affine(2, 0.0, axis) if call.proto.op_type == "LayerNormalization" else None
    call.emit(call.proto.op_type, (call.x(), call.affine(1, 1.0, axis), bias), axis=axis)
    return None


@converts("InstanceNormalization")
def instance_norm(call: Call) -> None:
    inputs = (call.x(), call.affine(1, 1.0), call.affine(2, 0.0))
    call.emit("InstanceNormalization", inputs)


@converts("GroupNormalization")
def group_norm(call: Call) -> bool | None:
    groups = int(call.attr("num_groups"))
    if call.shape(1) != call.shape(0)[1:2]:
        return False  # before operator set 21, scale and bias were per group
    virtual = Value(f"groups of {call.name}", (groups,), "virtual", "int64")
    call.rewrite("num_groups", lambda after: after.size(virtual, 0))
    inputs = (call.x(), call.data(1), call.data(2))
    call.emit("GroupNormalization", inputs, num_groups=groups, groups=virtual)
    return None


@converts("Softmax", "LogSoftmax", "Hardmax")
def softmax(call: Call) -> bool | None:
    ndim = len(call.shape())
    axis = call.axis(-1 if call.opset >= 13 else 1)
    if call.opset < 13 and axis != ndim - 1:
        return False  # these took all axes from "axis" on as one
    call.emit(call.proto.op_type, (call.x(),), axis=axis)
    return None


@converts("CumSum")
def cumsum(call: Call) -> bool | None:
    axis = call.literal(1)
    if axis is None:
        return False
    call.emit("CumSum", (call.x(),), axis=int(axis.item()) % len(call.shape()))
    return None


@converts(*REDUCTIONS.split())
def reduction(call: Call) -> bool | None:
    if not call.settled(1):
        return False
    ndim = len(call.shape())
    given = call.setting("axes", 1)
    if not given:
        given = [] if call.attr("noop_with_empty_axes", 0) else list(range(ndim))
    axes = tuple(sorted({int(a) % ndim for a in given}))
    keepdims = bool(call.attr("keepdims", 1))
    call.emit(call.proto.op_type, (call.x(),), axes=axes, keepdims=keepdims)
    return None


@converts("ArgMax", "ArgMin")
def arg(call: Call) -> None:
    keepdims = bool(call.attr("keepdims", 1))
    call.emit(call.proto.op_type, (call.x(),), axes=(call.axis(0),), keepdims=keepdims)


@converts("MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def pool(call: Call) -> bool | None:
    if any(call.proto.output[1:]):
        return False  # positions found by MaxPool count over channels too
    op = call.proto.op_type
    call.emit("LpPool" if op == "GlobalLpPool" else op, (call.x(),))
    return None


@converts("Resize", "Upsample")
def resize(call: Call) -> bool | None:
    shape, out = call.shape(), call.out
    if len(shape) < 3 or shape[:2] != out.shape[:2]:
        return False
    sizes = call.literal(3)
    if sizes is not None and sizes.size:
        given = call.attr("axes")
        axes = [int(a) % len(shape) for a in given] if given else list(range(len(shape)))
        old = sizes

        def want(after: After) -> np.ndarray:
            # Only batch and channels can change; other sizes are wishes that a policy may bend.
            return np.array(
                [
                    after.size(out, axis) if axis < 2 else size
                    for axis, size in zip(axes, old, strict=True)
                ],
                np.int64,
            )

        call.rewrite(3, want)
    call.emit("Resize", (call.x(),))
    return None


@converts("GridSample")
def grid_sample(call: Call) -> None:
    call.emit("GridSample", (call.x(0), call.x(1)))


@converts("RoiAlign", "MaxRoiPool")
def regions(call: Call) -> bool | None:
    operands = call.operands()
    if any(v is not None and v.stored for v in operands[1:]):
        return False
    call.emit(call.proto.op_type, operands)
    return None


@converts("LpNormalization")
def lp_norm(call: Call) -> None:
    x, axis = call.x(), call.axis(-1)
    shape = tuple(1 if i == axis else n for i, n in enumerate(x.shape))
    op = "ReduceL1" if call.attr("p", 2) == 1 else "ReduceL2"
    length = made(call, op, (x,), shape, axes=(axis,), keepdims=True)
    call.emit("Div", (x, length))
