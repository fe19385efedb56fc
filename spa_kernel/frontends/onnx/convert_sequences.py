"""Sequences of tensors whose length is known: they are taken apart and leave no trace."""

from __future__ import annotations

import numpy as np

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.onnx.call import Call
from spa_kernel.frontends.onnx.convert import converts
from spa_kernel.graph.ir import Value
from spa_kernel.surgery.after import After


@converts("SplitToSequence")
def split_to_sequence(call: Call) -> None:
    x, axis = call.x(), call.axis(0)
    elem = call.capture.meta(call.proto.input[0])[0]
    name, n, sizes = call.proto.output[0], call.shape()[call.axis(0)], call.literal(1)
    if not call.settled(1):
        raise CaptureError(f"SplitToSequence in {call.name} splits by sizes that are not known")
    if sizes is None:
        each = np.ones(n, np.int64)
    elif sizes.ndim == 0:
        each = chunks(n, int(sizes))
    else:
        each = sizes.astype(np.int64)
    parts = []
    for i, size in enumerate(each):
        shape = (*x.shape[:axis], int(size), *x.shape[axis + 1 :])
        parts.append(Value(f"{name}[{i}]", shape, dtype=x.dtype))
    call.emit("Split", (x,), list(parts), axis=axis)
    if sizes is not None:

        def want(after: After) -> np.ndarray:
            new = np.array([after.size(part, axis) for part in parts], np.int64)
            if sizes.ndim == 0 and np.array_equal(chunks(int(new.sum()), int(new[0])), new):
                return np.array(new[0])
            return new

        call.rewrite(1, want)
    elif not call.attr("keepdims", 1):
        squeezed = []
        for part in parts:
            shape = (*part.shape[:axis], *part.shape[axis + 1 :])
            squeezed.append(Value(f"{part.name} squeezed", shape, dtype=x.dtype))
            call.emit("Reshape", (part,), [squeezed[-1]])
        parts = squeezed
    call.capture.sequences[name] = parts
    for part in parts:
        call.capture.define(part.name, part, elem)


def chunks(n: int, size: int) -> np.ndarray:
    """Pieces of one size; the last one is what remains."""
    return np.array([min(size, n - start) for start in range(0, n, size)], np.int64)


@converts("Identity")
def identity(call: Call) -> None:
    name = call.proto.input[0]
    if name in call.capture.sequences:
        call.capture.sequences[call.proto.output[0]] = call.capture.sequences[name]
    else:
        call.emit("Identity", (call.x(),))


@converts("SequenceConstruct")
def sequence_construct(call: Call) -> None:
    call.capture.sequences[call.proto.output[0]] = [
        call.x(slot) for slot in range(len(call.proto.input))
    ]


@converts("SequenceAt")
def sequence_at(call: Call) -> None:
    parts, position = parts_of(call), call.literal(1)
    if position is None:
        raise CaptureError(f"SequenceAt in {call.name} takes a position that is not known")
    part = parts[int(position.item())]
    elem = call.capture.meta(part.name)[0]
    call.capture.define(call.proto.output[0], part, elem)


@converts("SequenceLength")
def sequence_length(call: Call) -> None:
    name = call.proto.output[0]
    call.capture.known[name] = np.array(len(parts_of(call)), np.int64)
    call.capture.steps[name] = call.index


@converts("ConcatFromSequence")
def concat_from_sequence(call: Call) -> bool | None:
    parts = parts_of(call)
    if call.attr("new_axis", 0):
        raise CaptureError(
            f"ConcatFromSequence in {call.name} makes a new axis: rewrite the model with "
            "onnxscript.optimizer.optimize first"
        )
    axis = call.axis(None, parts[0].ndim)
    shape = list(parts[0].shape)
    shape[axis] = sum(part.shape[axis] for part in parts)
    name, elem = call.proto.output[0], call.capture.meta(parts[0].name)[0]
    out = Value(name, tuple(shape), dtype=parts[0].dtype)
    call.capture.define(name, out, elem)
    call.emit("Concat", tuple(parts), [out], axis=axis)
    return None


def parts_of(call: Call) -> list[Value]:
    name = call.proto.input[0]
    if name not in call.capture.sequences:
        raise CaptureError(
            f"{call.proto.op_type} in {call.name} reads the sequence {name!r}, whose length is not "
            "known: rewrite the model with onnxscript.optimizer.optimize first"
        )
    return call.capture.sequences[name]
