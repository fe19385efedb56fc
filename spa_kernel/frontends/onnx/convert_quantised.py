"""Whole numbers that stand for others: x = (q - zero point) · scale."""

from __future__ import annotations

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts


@converts("QuantizeLinear", "DequantizeLinear")
def quantised(call: Call) -> bool | None:
    """With one scale, or in a weight one for each index of an axis."""
    zero_point, scale = call.literal(2), call.shape(1)
    if not call.settled(2) or call.attr("block_size", 0):
        return False
    centred = zero_point is None or not zero_point.any()
    if scale in ((), (1,)):
        call.emit(call.proto.op_type, (call.x(), None, None), axis=0, centred=centred)
        return None
    if len(scale) != 1 or call.proto.op_type == "QuantizeLinear" or not centred:
        return False
    axis = call.axis(1)
    call.emit("DequantizeLinear", (call.x(), call.x(1), call.data(2)), axis=axis, centred=True)
    return None
