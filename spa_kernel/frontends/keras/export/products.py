"""Products of tensors: `keras.ops.einsum` and `keras.ops.matmul`."""

from __future__ import annotations

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.registry import writes
from spa_kernel.frontends.keras.products import explicit


@writes("ops.Einsum", reads=("operands",))
def einsum(call: Call) -> list[Tensor]:
    equation = explicit(call.layer.subscripts)
    if "." in equation:
        raise Unwritten("with an ellipsis")
    operands = [call.operand(value) for value in call.given["operands"]]
    return call.made(call.node("Einsum", *operands, equation=equation))


@writes("ops.Matmul", reads=("x2",))
def matmul(call: Call) -> list[Tensor]:
    return call.made(call.node("MatMul", *(call.operand(call.given[n]) for n in ("x1", "x2"))))
