"""Multi-head attention."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.keras.export.call import Call, Tensor, Unwritten
from spa_kernel.frontends.keras.export.linear import projected
from spa_kernel.frontends.keras.export.registry import writes

LOW = -1e30
"""Stands for no attention at all: its exponential is zero."""


@writes("MultiHeadAttention", reads=("value", "key", "use_causal_mask"))
def attention(call: Call) -> list[Tensor]:
    """Over one axis of positions, with no mask but a causal one."""
    own, given = call.layer, call.given
    sliding = getattr(own, "_sliding_window", None)
    if getattr(own, "_use_gate", False) or sliding is not None or len(own._attention_axes) != 1:
        raise Unwritten("with a gate, a window, or several axes of positions")
    query, value = call.place(given["query"]), call.place(given["value"])
    key = value if given["key"] is None else call.place(given["key"])
    q = projected(call, call.plain(query), own._query_dense)
    k = projected(call, call.plain(key), own._key_dense)
    v = projected(call, call.plain(value), own._value_dense)
    q = call.node("Mul", q, call.constant(own._inverse_sqrt_key_dim))
    scores = call.node("Einsum", k, q, equation=own._dot_product_equation)
    if given["use_causal_mask"]:
        (axis,) = own._attention_axes
        sizes = [call.inputs[at].real.shape[axis] for at in (query, key)]
        hidden = np.triu(np.full(sizes, LOW), 1)
        scores = call.node("Add", scores, call.constant(hidden))
    weights = call.node("Softmax", scores, axis=-1)
    found = call.node("Einsum", weights, v, equation=own._combine_equation)
    return call.made(projected(call, found, own._output_dense))
