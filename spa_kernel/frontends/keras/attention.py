"""Converter of multi-head attention: heads and the width of their values can be pruned."""

from __future__ import annotations

from typing import Any

import keras

from spa_kernel.frontends.keras.call import Call, Opaque
from spa_kernel.frontends.keras.capture import Held
from spa_kernel.frontends.keras.layers import layer
from spa_kernel.graph.ir import Value


def projected(call: Call, x: Value, dense: Any, equation: str, out: str) -> Value:
    """What an EinsumDense layer makes of a tensor; its bias has the last axes of the output."""
    if dense.quantization_mode or dense.lora_enabled:
        raise Opaque
    kernel = call.weight(dense.kernel)
    sizes = dict(zip(equation.replace(",", ""), (*x.shape, *kernel.shape), strict=True))
    shape = [sizes[letter] for letter in out]
    made = call.emit("Einsum", [x, kernel], shape, equation=f"{equation}->{out}")
    if dense.bias is None:
        return made
    return call.emit("Add", [made, call.weight(dense.bias)], shape)


@layer("MultiHeadAttention", several=True)
def attention(call: Call) -> list[Held]:
    """Query, value and key with one axis of positions, and no mask but a causal one."""
    own, arguments = call.layer, call.arguments
    given = dict(zip(("query", "value", "key"), arguments.args, strict=False))
    given.update((name, value) for name, value in arguments.kwargs.items() if value is not None)
    given.pop("use_causal_mask", None)
    given.pop("training", None)
    held = {id(t): at for at, t in enumerate(arguments.keras_tensors)}
    places = {name: held.get(id(value), -1) for name, value in given.items()}
    plain = not own._use_gate and own._output_shape is None and own._attention_axes in (None, (1,))
    if not plain or not {"query", "value"} <= places.keys() <= {"query", "value", "key"}:
        raise Opaque
    if -1 in places.values() or any(len(h.real.shape) != 3 for h in call.inputs):
        raise Opaque
    query, value = call.plain(places["query"]), call.plain(places["value"])
    key = call.plain(places["key"]) if "key" in places else value
    q = projected(call, query, own._query_dense, "btd,dnh", "btnh")
    k = projected(call, key, own._key_dense, "bsd,dnh", "bsnh")
    v = projected(call, value, own._value_dense, "bsd,dnv", "bsnv")
    q = call.emit("KeepsSize", [q], q.shape, axis=3, why="works its scale out from this size")
    if keras.backend.backend() == "jax" and not own._dropout:
        # Keras calls jax.nn.dot_product_attention, but for layers with dropout.
        why = "must have keys and values of one size on jax"
        v = call.emit("KeepsSize", [v], v.shape, axis=3, why=why)
    b, t, n, s = *q.shape[:3], k.shape[1]
    scores = call.emit("Einsum", [q, k], (b, n, t, s), equation="btnh,bsnh->bnts")
    scores = call.emit("Softmax", [scores], scores.shape, axis=3)
    mixed = (b, t, n, v.shape[3])
    found = call.emit("Einsum", [scores, v], mixed, equation="bnts,bsnv->btnv")
    out = projected(call, found, own._output_dense, "btnv,nvd", "btd")
    call.edit(
        lambda after: {
            "num_heads": after.size(v, 2),
            "value_dim": after.size(v, 3),
            # It makes as many features as the query has, unless told how many.
            "output_shape": None
            if after.size(out, 2) == after.size(query, 2)
            else (after.size(out, 2),),
        }
    )
    return call.made(out)
