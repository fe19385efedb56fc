"""The Attention operator, taken apart into the products that it is made of."""

from __future__ import annotations

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.after import After


@converts("Attention")
def attention(call: Call) -> bool | None:
    """Softmax(Q Kᵀ · scale + mask) V, with the heads in an axis of their own or not."""
    if any(call.proto.output[1:]) or any(call.has(slot) for slot in range(4, 7)):
        return False  # with a cache of earlier keys and values
    shapes = [call.shape(slot) for slot in range(3)]
    split = len(shapes[0]) == 3
    counts = [int(call.attr(f"{side}_num_heads", 0)) for side in ("q", "kv", "kv")]
    if (counts[0] != counts[1]) if split else (shapes[0][1] != shapes[1][1]):
        return False  # query heads that share a key head
    q, k, v = call.x(0), call.x(1), call.x(2)
    if split:
        q4, k4, v4 = (
            heads(call, x, n, side) for x, n, side in zip((q, k, v), counts, "qkv", strict=True)
        )
        call.rewrite("q_num_heads", lambda after: after.size(q4, 1))
        call.rewrite("kv_num_heads", lambda after: after.size(k4, 1))
        q, k, v = q4, k4, v4
    if call.attr("scale") is None:
        # The default would follow the pruned width.
        def want(after: After) -> float | None:
            width = q.shape[3]
            return None if after.size(q, 3) == width else width**-0.5

        call.rewrite("scale", want)
    turned = made(call, "Transpose", (k,), permuted(k, 0, 1, 3, 2), perm=(0, 1, 3, 2))
    scores = made(call, "MatMul", (q, turned), (*q.shape[:3], k.shape[2]))
    if call.has(3):
        scores = made(call, "Add", (scores, call.data(3)), scores.shape)
    weights = made(call, "Softmax", (scores,), scores.shape, axis=3)
    if not split:
        call.emit("MatMul", (weights, v))
        return None
    result = made(call, "MatMul", (weights, v), (*q.shape[:3], v.shape[3]))
    back = made(call, "Transpose", (result,), permuted(result, 0, 2, 1, 3), perm=(0, 2, 1, 3))
    call.emit("Reshape", (back,))
    return None


def heads(call: Call, x: Value, count: int, side: str) -> Value:
    """(batch, position, heads · width) as (batch, head, position, width)."""
    batch, positions, width = x.shape
    parts = made(call, "Reshape", (x,), (batch, positions, count, width // count))
    return made(call, "Transpose", (parts,), permuted(parts, 0, 2, 1, 3), perm=(0, 2, 1, 3))


def permuted(value: Value, *perm: int) -> tuple[int, ...]:
    return tuple(value.shape[axis] for axis in perm)


def made(
    call: Call, op: str, inputs: tuple[Value | None, ...], shape: tuple[int, ...], **attrs: object
) -> Value:
    """A step inside of the operator, which has no name in the model."""
    value = Value(f"{op} inside of {call.name}", shape, dtype=call.out.dtype)
    call.emit(op, inputs, [value], **attrs)
    return value
