"""Primitives that move axes and indices about."""

from __future__ import annotations

from typing import Any

import numpy as np

from spa_kernel.frontends.jax.convert import Call, as_value, primitive
from spa_kernel.graph.ir import Value
from spa_kernel.graph.sizes import Const, Dim, Op, SizeUse


@primitive("reshape", "squeeze", "expand_dims")
def reshape(call: Call) -> Any:
    if call.params.get("dimensions") is not None and call.name == "reshape":
        return None
    return call.emit("Reshape", (call.value(0),))


@primitive("transpose")
def transpose(call: Call) -> Any:
    perm = tuple(int(i) for i in call.params["permutation"])
    return call.emit("Transpose", (call.value(0),), perm=perm)


@primitive("broadcast_in_dim")
def broadcast_in_dim(call: Call) -> Any:
    (out,) = call.outs()
    number = call.number(0)
    if number is not None:
        return call.emit("ConstantOfShape", (), (out,), value=number)
    x, places = call.value(0), [int(i) for i in call.params["broadcast_dimensions"]]
    shape = [1] * out.ndim
    for axis, place in enumerate(places):
        shape[place] = x.shape[axis]
    if tuple(shape) == out.shape:
        return call.emit("Reshape", (x,), (out,))
    if tuple(shape) != x.shape:
        x = call.one("Reshape", (x,), shape)
    return call.emit("Expand", (x,), (out,), free=True)


@primitive("concatenate")
def concatenate(call: Call) -> Any:
    parts = [call.value(i) for i in range(len(call.operands))]
    return call.emit("Concat", parts, axis=int(call.params["dimension"]))


@primitive("stack")
def stack(call: Call) -> Any:
    axis, (out,) = int(call.params["axis"]), call.outs()
    one = (*out.shape[:axis], 1, *out.shape[axis + 1 :])
    parts = [call.one("Reshape", (call.value(i),), one) for i in range(len(call.operands))]
    return call.emit("Concat", parts, (out,), axis=axis)


@primitive("unstack")
def unstack(call: Call) -> Any:
    """Each index becomes a tensor of its own, so none can go."""
    x, axis, made = call.value(0), int(call.params["axis"]), call.outs()
    for at, out in enumerate(made):
        call.emit("Gather", (x, as_value(np.array(at))), (out,), axis=axis, literal=True)
    return made


@primitive("rev")
def rev(call: Call) -> Any:
    """What is turned around keeps its indices; other axes pass."""
    x, outs = call.value(0), call.outs()
    axes = [int(axis) for axis in call.params["dimensions"]]
    for axis in axes:
        new = outs[0] if axis == axes[-1] else call.fresh(x.shape, x)
        table = as_value(np.arange(x.shape[axis])[::-1])
        call.emit("Gather", (x, table), (new,), axis=axis, literal=True)
        x = new
    return [x]


@primitive("split")
def split(call: Call) -> Any:
    x, axis, sizes = call.value(0), int(call.params["axis"]), call.params["sizes"]
    outs = call.emit("Split", (x,), axis=axis)
    if len({int(n) for n in sizes}) == 1:
        # Equal parts stay equal, or the forward would be another one.
        count, size = len(sizes), int(sizes[0])
        share = Op("//", Dim((x, axis), x.shape[axis]), Const(count), size)
        graph = call.captured.graph
        graph.sizes += [SizeUse((out, axis), share, graph.nodes[-1].where) for out in outs]
    return outs


@primitive("slice")
def slice_(call: Call) -> Any:
    x = call.value(0)
    params = call.params
    steps = params["strides"] or (1,) * x.ndim
    (out,) = call.outs()
    parts = [
        (axis, int(start), int(stop), int(step))
        for axis, (start, stop, step) in enumerate(
            zip(params["start_indices"], params["limit_indices"], steps, strict=True)
        )
        if (start, stop, step) != (0, x.shape[axis], 1)
    ]
    if not parts:
        return [x]
    graph = call.captured.graph
    for axis, start, stop, step in parts:
        size, shape = x.shape[axis], list(x.shape)
        index = np.arange(start, stop, step)
        shape[axis] = len(index)
        borders = []
        if step == 1:
            # The positions are numbers of the code: what lies in front, or behind, must not move.
            borders += [(virtual("in front of", start), start)] if start else []
            borders += [(virtual("behind", size - stop), stop - size)] if stop < size else []
        new = out if axis == parts[-1][0] else call.fresh(shape, x)
        # As a float it is compared after a prune, even where nothing holds what lies in front.
        numbers = (float(start),) if step != 1 else ()
        attrs = {"index": {axis: index}, "step": step, "borders": tuple(borders)}
        call.emit("Slice", (x,), (new,), numbers, **attrs)
        for stretch, position in borders:
            written = Op("+", Const(abs(position)), Const(0), abs(position))
            graph.sizes.append(SizeUse((stretch, 0), written, graph.nodes[-1].where))
        x = new
    return [out]


def virtual(name: str, size: int) -> Value:
    return Value(f"{name} a slice", (size,), "virtual", "int64")


@primitive("pad")
def pad(call: Call) -> Any:
    value, config = call.number(1), call.params["padding_config"]
    if value is None or any(low < 0 or high < 0 or inside for low, high, inside in config):
        return None
    pads = [(int(low), int(high)) for low, high, _ in config]
    return call.emit("Pad", (call.value(0),), numbers=(value,), pads=pads, value=value)


@primitive("tile")
def tile(call: Call) -> Any:
    repeats = tuple(int(n) for n in call.params["reps"])
    x = call.value(0)
    if len(repeats) != x.ndim:
        return None
    return call.emit("Tile", (x,), repeats=repeats)


@primitive("gather")
def gather(call: Call) -> Any:
    """Whole slices along one axis, as in a look-up of embeddings."""
    data, indices, params = call.value(0), call.operands[1], call.params
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    axes = tuple(int(a) for a in numbers.start_index_map)
    if len(axes) != 1 or tuple(numbers.collapsed_slice_dims) != axes:
        return None
    if numbers.operand_batching_dims or numbers.start_indices_batching_dims:
        return None
    (axis,) = axes
    rank = len(indices.shape) - 1
    whole = all(n == (1 if i == axis else data.shape[i]) for i, n in enumerate(sizes))
    (out,) = call.outs()
    places = [i for i in range(out.ndim) if not axis <= i < axis + rank]
    if not whole or tuple(int(i) for i in numbers.offset_dims) != tuple(places):
        return None
    if isinstance(indices, np.ndarray):
        table = as_value(indices[..., 0])
        return call.emit("Gather", (data, table), (out,), axis=axis, literal=True)
    squeezed = call.one("Reshape", (indices,), indices.shape[:-1])
    return call.emit("Gather", (data, squeezed), (out,), axis=axis)
