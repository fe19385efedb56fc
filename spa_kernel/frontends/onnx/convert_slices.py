"""Operators that pick indices: slice, split, gather."""

from __future__ import annotations

import numpy as np

from spa_kernel.errors import SpaError
from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.after import After


@converts("Slice")
def slice_(call: Call) -> bool | None:
    if not call.settled(1, 2, 3, 4):
        return False
    starts, ends = call.setting("starts", 1), call.setting("ends", 2)
    x, out = call.x(), call.out
    if starts is None or ends is None:
        return False
    axes = [int(a) % x.ndim for a in call.setting("axes", 3) or range(len(starts))]
    steps = [int(s) for s in call.setting("steps", 4) or [1] * len(starts)]
    index = {}
    for axis, start, end, step in zip(axes, starts, ends, steps, strict=True):
        n = x.shape[axis]
        index[axis] = source_indices(n, int(start), int(end), step)
        assert len(index[axis]) == out.shape[axis]

    def bounds(after: After) -> list[tuple[int, int, int]]:
        new = []
        for i, axis in enumerate(axes):
            old = (int(starts[i]), int(ends[i]), steps[i])
            if after.kept(x, axis).all():
                new.append(old)
            else:
                picked = after.renumber(x, axis, index[axis][after.kept(out, axis)])
                new.append(progression(picked, after.size(x, axis), old, call))
        return new

    slots: list[int | str] = [1, 2, 4] if call.opset >= 10 else ["starts", "ends", "steps"]
    for position, slot in enumerate(slots):
        if slot == 4 and not call.has(4):
            continue
        if slot == "steps":
            continue

        def want(after: After, position: int = position) -> np.ndarray:
            return np.array([b[position] for b in bounds(after)], np.int64)

        call.rewrite(slot, want)
    whole = {a: i for a, i in index.items() if not np.array_equal(i, np.arange(x.shape[a]))}
    call.emit("Slice", (x,), index=whole)
    return None


def source_indices(n: int, start: int, end: int, step: int) -> np.ndarray:
    """The indices of an axis of n that an ONNX slice takes (bounds are clamped)."""
    return np.arange(n)[slice_of(n, start, end, step)]


def slice_of(n: int, start: int, end: int, step: int) -> slice:
    start = start + n if start < 0 else start
    end = end + n if end < 0 else end
    if step > 0:
        return slice(min(max(start, 0), n), min(max(end, 0), n), step)
    start, end = min(max(start, 0), n - 1), min(max(end, -1), n - 1)
    return slice(start, None if end < 0 else end, step)


def progression(
    picked: np.ndarray, n: int, old: tuple[int, int, int], call: Call
) -> tuple[int, int, int]:
    """Start, end and step that give these positions."""
    if np.array_equal(source_indices(n, *old), picked):
        return old
    steps = np.unique(np.diff(picked))
    step = int(steps[0]) if len(steps) else 1
    if len(steps) > 1 or step == 0 or (step != old[2] and not call.has(4)) or not len(picked):
        raise SpaError(
            f"{call.proto.op_type} in {call.name}: what is left of its channels cannot be written "
            "as start, end and step. Leave this group out, or use Gather in the model instead"
        )
    start, end = int(picked[0]), int(picked[-1]) + (1 if step > 0 else -1)
    # Before the first entry: -1 would count from the back.
    return start, end if end >= 0 else -n - 1, step


@converts("Split")
def split(call: Call) -> bool | None:
    sizes = call.setting("split", 1)
    if not call.settled(1) or len(call.outputs) != len(call.proto.output):
        return False
    axis, x, outputs = call.axis(0), call.x(), call.outputs
    slot: int | str = 1 if call.opset >= 13 else "split"

    def want(after: After) -> np.ndarray | None:
        new = np.array([after.size(out, axis) for out in outputs], np.int64)
        equal = (new == new[0]).all() or call.opset >= 18
        if sizes is None and equal and np.array_equal(new, even_sizes(new.sum(), len(outputs))):
            return None
        return new

    call.rewrite(slot, want)
    call.emit("Split", (x,), axis=axis)
    return None


def even_sizes(n: int, parts: int) -> np.ndarray:
    """Sizes of a split that states none: equal, the last one smaller."""
    size = -(-n // parts)
    return np.array([size] * (parts - 1) + [n - size * (parts - 1)], np.int64)


@converts("Gather")
def gather(call: Call) -> None:
    x, axis = call.x(), call.axis(0)
    content = call.literal(1)
    if content is None:
        call.emit("Gather", (x, call.x(1)), axis=axis)
        return
    name = call.proto.input[1]
    if call.capture.free(name):
        # The table depends on the sizes that the model will run on: it cannot be written anew.
        call.emit("Gather", (x, Value(name, content.shape, "constant", "int64")), axis=axis)
        return
    index = np.where(content < 0, content + x.shape[axis], content).astype(np.int64)
    out = call.out
    if content.ndim != 1 and np.array_equal(index.ravel(), np.arange(x.shape[axis])):
        # Every entry in order: an exporter's way to write a reshape.
        def order(after: After) -> np.ndarray:
            shape = after.shape(out)[axis : axis + content.ndim]
            return np.arange(after.size(x, axis)).reshape(shape)

        call.rewrite(1, order)
        call.emit("Reshape", (x,))
    elif content.ndim == 1:
        # A table of positions follows what it points at: written anew, not cut.
        table = Value(name, index.shape, "constant", "int64", index)

        def want(after: After) -> np.ndarray | None:
            kept = after.kept(out, axis)
            if kept.all() and after.kept(x, axis).all():
                return None
            return after.renumber(x, axis, index[kept]).astype(content.dtype)

        call.rewrite(1, want)
        call.emit("Gather", (x, table), axis=axis)
    else:
        call.emit("Gather", (x, call.x(1)), axis=axis)


@converts("GatherND")
def gather_nd(call: Call) -> bool | None:
    """With one number per index tuple this is a Gather along the first axis."""
    content = call.literal(1)
    if call.attr("batch_dims", 0) or call.shape(1)[-1] != 1 or content is None:
        return False
    x = call.x()
    index = content[..., 0].astype(np.int64)
    index = np.where(index < 0, index + x.shape[0], index)
    # Two axes at least: only a plain table of positions could be written anew.
    table = Value(call.proto.input[1], index.shape, "constant", "int64", None)
    call.emit("Gather", (x, table), axis=0)
    return None


@converts("GatherElements", "ScatterElements")
def elements(call: Call) -> None:
    call.emit(call.proto.op_type, call.operands(), axis=call.axis(0))


@converts("Compress")
def compress(call: Call) -> bool | None:
    mask = call.literal(1)
    if "axis" not in call.attributes or mask is None:
        return False
    x, axis = call.x(), call.axis()
    index = np.flatnonzero(mask)
    table = Value(call.proto.input[1], index.shape, "constant", "int64", index)
    # What a shorter mask does not reach is left out.
    whole = np.isin(np.arange(x.shape[axis]), index)
    call.rewrite(1, lambda after: whole[after.kept(x, axis)])
    call.emit("Gather", (x, table), axis=axis)
    return None


@converts("TopK")
def top_k(call: Call) -> bool | None:
    if call.opset >= 10 and call.literal(1) is None:
        return False
    call.emit("TopK", (call.x(),), axes=(call.axis(-1),))
    return None


@converts("Trilu")
def triangle(call: Call) -> None:
    ndim = len(call.shape())
    call.emit("Triangle", (call.x(),), axes=(ndim - 2, ndim - 1))
