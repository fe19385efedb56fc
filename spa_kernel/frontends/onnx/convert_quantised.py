"""Whole numbers that stand for others: x = (q - zero point) · scale."""

from __future__ import annotations

from math import prod
from typing import Any

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.frontends.onnx.quantised import PLACES
from spa_kernel.graph.ir import Value


@converts("QuantizeLinear", "DequantizeLinear")
def quantised(call: Call) -> bool | None:
    """With one scale, or in a weight one for each index of an axis."""
    zero_point, scale = call.literal(2), call.shape(1)
    if not call.settled(2) or call.attr("block_size", 0):
        return False
    # Removed entries of a weight stand for zero, whatever number that is.
    weight = call.proto.op_type == "DequantizeLinear" and weighs(call)
    centred = weight or zero_point is None or not zero_point.any()
    if scale in ((), (1,)):
        call.emit(call.proto.op_type, (call.x(), None, None), axis=0, centred=centred)
        return None
    if len(scale) != 1 or call.proto.op_type == "QuantizeLinear" or not centred:
        return False
    axis = call.axis(1)
    call.emit("DequantizeLinear", (call.x(), call.x(1), call.data(2)), axis=axis, centred=True)
    return None


@converts("DynamicQuantizeLinear")
def dynamic(call: Call) -> bool | None:
    if not call.proto.output[0]:
        return False
    call.emit("DynamicQuantizeLinear", (call.x(),))
    return None


@converts("ConvInteger", "QLinearConv")
def convolution(call: Call) -> bool | None:
    """Inputs: data, weight, bias, and what has an entry for each row of the weight."""
    tables = rows(call)
    if tables is None:
        return False
    groups = int(call.attr("group", 1))
    attrs: dict[str, Any] = {"group": groups}
    if groups > 1:
        virtual = Value(f"groups of {call.name}", (groups,), "virtual", "int64")
        attrs["groups"] = virtual
        call.rewrite("group", lambda after: after.size(virtual, 0))
    bias = call.data(8) if call.proto.op_type == "QLinearConv" else None
    weight = call.x(PLACES[call.proto.op_type][0])
    call.emit(call.proto.op_type, (call.x(0), weight, bias, *tables), **attrs)
    return None


@converts("MatMulInteger", "QLinearMatMul")
def product(call: Call) -> bool | None:
    """Inputs: both factors, and what has an entry for each column of the second one."""
    tables = rows(call)
    if tables is None or len(call.shape(PLACES[call.proto.op_type][0])) != 2:
        return False
    weight = call.x(PLACES[call.proto.op_type][0])
    call.emit(call.proto.op_type, (call.x(0), weight, *tables))
    return None


def weighs(call: Call) -> bool:
    """Whether the operand for a weight is one."""
    return call.proto.input[PLACES[call.proto.op_type][0]] in call.capture.quantised


def rows(call: Call) -> list[Value] | None:
    """Scales and zero points of the weight that have an entry for each output channel.

    ``None`` if the weight is none, or another one has more than one entry.
    """
    if not weighs(call):
        return None
    at, *own, _ = PLACES[call.proto.op_type]
    settings = [s for s in range(1, 8) if s != at and call.has(s)]
    if any(prod(call.shape(s)) != 1 and s not in own for s in settings):
        return None
    found = [s for s in settings if prod(call.shape(s)) != 1]
    if any(len(call.shape(s)) != 1 for s in found):
        return None
    return [call.x(s) for s in found]
