"""Normalisations, and reductions over an axis."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.graph.ir import Node, Value
from spa_kernel.graph.operators import (
    Averaged,
    Fixed,
    Maximised,
    Product,
    Same,
    Statement,
    Summed,
    Zero,
    operator,
)
from spa_kernel.graph.ops_elementwise import names, same_shape


def affine_zero(node: Node) -> Zero:
    """Zero where the scale masks the channel; without a scale, the mean is still subtracted."""
    return "any" if node.inputs[1] is not None else "never"


@operator("BatchNormalization", "InstanceNormalization", zero=affine_zero)
def batch_norm(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    yield from same_shape(node, tuple(range(x.ndim)))
    for value in node.inputs[1:]:
        if value is not None:
            yield Same((out, 1), (value, 0))


@operator("LayerNormalization", "RMSNormalization", zero=affine_zero)
def layer_norm(node: Node) -> Iterator[Statement]:
    """Channels may go from the normalised axes: the norm is then over those that stay."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    yield from same_shape(node, tuple(range(x.ndim)))
    for value in node.inputs[1:]:
        if value is not None:
            shift = x.ndim - value.ndim
            for axis in range(value.ndim):
                if value.shape[axis] != 1:
                    yield Same((out, shift + axis), (value, axis))


@operator("WeightNormalization")
def weight_norm(node: Node) -> Iterator[Statement]:
    """``g * v / |v|``, the length taken over all axes but one.

    Indices go from those axes exactly, since zeros add nothing to a length.
    """
    v, g, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert v is not None and g is not None
    for axis in range(v.ndim):
        yield Same((out, axis), (v, axis))
        if axis == node.attrs["axis"]:
            yield Same((out, axis), (g, axis))
        elif v.shape[axis] != 1:
            yield Summed((v, axis))


@operator("GroupNormalization", zero=affine_zero)
def group_norm(node: Node) -> Iterator[Statement]:
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    yield from batch_norm(node)
    groups = node.attrs["groups"]
    inner = Value(
        f"channels of a group in {node.name}", (x.shape[1] // groups.shape[0],), "virtual"
    )
    yield Product((out, 1), ((groups, 0), (inner, 0)))


@operator("Softmax", "LogSoftmax", "Hardmax", zero="never")
def softmax(node: Node) -> Iterator[Statement]:
    x, out, axis = node.inputs[0], node.outputs[0], node.attrs["axis"]
    assert x is not None
    reason = f"{node.where} normalises over this axis: what is removed would shift the rest"
    yield Fixed((x, axis), reason)
    yield Fixed((out, axis), reason)
    yield from same_shape(node, tuple(i for i in range(x.ndim) if i != axis))


@operator("ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceCount")
def reduce_sum(node: Node) -> Iterator[Statement]:
    yield from reduction(node, Summed)


@operator("ReduceMean")
def reduce_mean(node: Node) -> Iterator[Statement]:
    yield from reduction(node, Averaged)


@operator("ReduceMax")
def reduce_max(node: Node) -> Iterator[Statement]:
    yield from reduction(node, Maximised)


@operator(
    *names("ReduceMin ReduceProd ReduceVar ReduceStd ReduceAny ReduceAll ReduceMedian ReduceRange")
)
def reduce_other(node: Node) -> Iterator[Statement]:
    yield from reduction(node, None)


@operator(*names("ReduceLogSumExp ReduceLogSum ArgMax ArgMin"), zero="never")
def reduce_nonzero(node: Node) -> Iterator[Statement]:
    yield from reduction(node, None)


def reduction(
    node: Node, statement: type[Summed | Averaged | Maximised] | None
) -> Iterator[Statement]:
    """``statement``: under which condition entries can be left out; by default never."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    axes, at = node.attrs["axes"], 0
    for axis in range(x.ndim):
        if axis not in axes:
            for result in node.outputs:
                yield Same((result, at), (x, axis))
            at += 1
            continue
        at += 1 if node.attrs["keepdims"] else 0
        if x.shape[axis] != 1:
            if statement is not None:
                yield statement((x, axis))
            else:
                yield Fixed((x, axis), f"{node.where} depends on every entry of this axis")
    assert at == out.ndim


@operator("MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool", "LpPool", "Resize")
def pool(node: Node) -> Iterator[Statement]:
    """Batch and channels go through; positions are mixed."""
    x = node.inputs[0]
    assert x is not None
    kept = x.ndim - node.attrs.get("spatial", x.ndim - 2)
    yield from same_shape(node, tuple(range(kept)))
    for axis in range(kept, x.ndim):
        yield Fixed((x, axis), f"{node.where} mixes positions")
