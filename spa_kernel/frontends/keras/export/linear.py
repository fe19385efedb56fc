"""Layers that are one product with a stored matrix, and tables."""

from __future__ import annotations

from typing import Any

from spa_kernel.frontends.keras.export.activations import activated
from spa_kernel.frontends.keras.export.call import Call, Tensor
from spa_kernel.frontends.keras.export.registry import writes


@writes("Dense")
def dense(call: Call) -> list[Tensor]:
    own, x = call.layer, call.plain()
    kernel = call.weight(own.kernel)
    bias = [call.weight(own.bias)] if own.use_bias else []
    if call.rank == 2:
        out = call.node("Gemm", x, kernel, *bias)
    else:
        out = call.node("MatMul", x, kernel)
        out = call.node("Add", out, *bias) if bias else out
    return call.made(activated(call, own.activation, out))


@writes("EinsumDense")
def einsum_dense(call: Call) -> list[Tensor]:
    own = call.layer
    return call.made(activated(call, own.activation, projected(call, call.plain(), own)))


def projected(call: Call, x: str, own: Any) -> str:
    """What an EinsumDense layer makes of a tensor before its activation."""
    out = call.node("Einsum", x, call.weight(own.kernel), equation=own.equation)
    return out if own.bias is None else call.node("Add", out, call.weight(own.bias))


@writes("Embedding")
def embedding(call: Call) -> list[Tensor]:
    places = call.raw()
    if call.inputs[0].real.dtype not in ("int32", "int64"):
        places = call.cast(places, "int32")
    return call.made(call.node("Gather", call.weight(call.layer._embeddings), places, axis=0))
