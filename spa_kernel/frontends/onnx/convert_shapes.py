"""Operators that rearrange axes: reshape, transpose, concat, expand, tile, pad."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.frontends.onnx.convert_attention import made, permuted
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.after import After


@converts("Reshape")
def reshape(call: Call) -> bool | None:
    target = call.literal(1)
    x, out = call.x(), call.out
    if target is None:
        return False
    sizes, copies = target, not call.attr("allowzero", 0)

    def want(after: After) -> np.ndarray | None:
        new = sizes.astype(np.int64)
        for axis, entry in enumerate(sizes):
            size = after.size(out, axis)
            if entry == 0 and copies and after.size(x, axis) == size:
                continue
            if entry != -1:
                new[axis] = size
        return new

    call.rewrite(1, want)
    call.emit("Reshape", (x,))
    return None


@converts("Flatten", "Squeeze", "Unsqueeze")
def fold_axes(call: Call) -> None:
    call.emit("Reshape", (call.x(),))


@converts("Transpose")
def transpose(call: Call) -> None:
    ndim = len(call.shape())
    perm = call.attr("perm") or range(ndim)[::-1]
    call.emit("Transpose", (call.x(),), perm=tuple(int(p) for p in perm))


@converts("Concat")
def concat(call: Call) -> None:
    call.emit("Concat", call.operands(), axis=call.axis(1))


@converts("Expand")
def expand(call: Call) -> bool | None:
    target, x, out = call.literal(1), call.x(), call.out
    if target is None:
        return False
    sizes, shift = target, out.ndim - target.size

    def want(after: After) -> np.ndarray:
        # An entry of 1 leaves the operand's size as it is.
        return np.array(
            [1 if n == 1 else after.size(out, shift + i) for i, n in enumerate(sizes)], np.int64
        )

    call.rewrite(1, want)
    call.emit("Expand", (x,))
    return None


@converts("Tile")
def tile(call: Call) -> bool | None:
    repeats = call.literal(1)
    if repeats is None or call.opset < 6:
        return False
    x, out = call.x(), call.out

    def want(after: After) -> np.ndarray:
        return np.array(
            [after.size(out, axis) // max(after.size(x, axis), 1) for axis in range(x.ndim)],
            np.int64,
        )

    call.rewrite(1, want)
    call.emit("Tile", (x,), repeats=tuple(int(r) for r in repeats))
    return None


@converts("Pad")
def pad(call: Call) -> bool | None:
    if not call.settled(2, 3):
        return False
    pads, ndim = call.setting("pads", 1), len(call.shape())
    if pads is None:
        return False
    axes = call.literal(3)
    where = [int(a) % ndim for a in axes] if axes is not None else list(range(ndim))
    half, per_axis = len(pads) // 2, [(0, 0)] * ndim
    for i, axis in enumerate(where):
        per_axis[axis] = (int(pads[i]), int(pads[half + i]))
    content = call.literal(2)
    value = call.attr("value", 0.0) if content is None else content.item()
    mode = call.attr("mode", "constant")
    if isinstance(mode, bytes):
        mode = mode.decode()
    added: dict[int, tuple[tuple[Value, int], ...]] = {}
    for axis, both in enumerate(per_axis if mode == "constant" else ()):
        if min(both) >= 0 and max(both) > 0:
            added[axis] = tuple((Value(f"{n} indices", (n,), "virtual"), n) for n in both)
    old = np.array(pads, np.int64)

    def want(after: After) -> np.ndarray:
        new = old.copy()
        for i, axis in enumerate(where):
            if axis in added:
                (front, _), (back, _) = added[axis]
                new[[i, half + i]] = after.size(front, 0), after.size(back, 0)
        return new

    call.rewrite(1 if call.opset >= 11 else "pads", want)
    call.emit("Pad", (call.x(),), pads=per_axis, mode=mode, value=value, added=added)
    return None


@converts("DepthToSpace")
def depth_to_space(call: Call) -> None:
    attrs = {"blocksize": int(call.attr("blocksize")), "mode": call.attr("mode", "DCR")}
    call.emit("DepthToSpace", (call.x(),), **attrs)


@converts("SpaceToDepth")
def space_to_depth(call: Call) -> None:
    """Channels of the result are (block row, block column, channel)."""
    x, size = call.x(), int(call.attr("blocksize"))
    n, c, rows, columns = x.shape
    shape = (n, c, rows // size, size, columns // size, size)
    blocks = made(call, "Reshape", (x,), shape)
    perm = (0, 3, 5, 1, 2, 4)
    turned = made(call, "Transpose", (blocks,), permuted(blocks, *perm), perm=perm)
    call.emit("Reshape", (turned,))
