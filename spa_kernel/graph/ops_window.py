"""Operators between channels and positions: windows, shuffles, regions, sampling."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import Contract, Fixed, Product, Same, Statement, operator
from spa_kernel.graph.ops_elementwise import same_shape
from spa_kernel.graph.ops_linear import conv_flops


def fixed_part(name: str, size: int) -> Axis:
    """A factor of a channel axis that can lose nothing."""
    return Value(name, (size,), "virtual"), 0


@operator("Unfold", "Fold")
def windows(node: Node) -> Iterator[Statement]:
    """Channels with all places of a window behind each, and positions: of images, and back."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    images, columns = (x, out) if node.op == "Unfold" else (out, x)
    at = columns.ndim - 2
    reason = f"the places of a window of {node.where}"
    window = fixed_part(f"window of {node.name}", node.attrs["window"])
    yield Fixed(window, reason, quiet=True)
    yield Product((columns, at), ((images, at), window))
    if at:
        yield Same((out, 0), (x, 0))
    for axis in range(at + 1, x.ndim):
        yield Fixed((x, axis), "a spatial axis")


@operator("SpaceToDepth")
def space_to_depth(node: Node) -> Iterator[Statement]:
    """Each block of positions becomes channels: channel = (channel, block row, block column)."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    at = x.ndim - 3
    reason = f"{node.where} makes channels of positions"
    block = fixed_part(f"block of {node.name}", node.attrs["blocksize"] ** 2)
    yield Fixed(block, reason)
    yield Product((out, at), ((x, at), block))
    yield from same_shape(node, tuple(range(at)))
    for axis in range(at + 1, x.ndim):
        yield Fixed((x, axis), "a spatial axis")


@operator("ChannelShuffle")
def channel_shuffle(node: Node) -> Iterator[Statement]:
    """Channels as (group, channel) become (channel, group); the code says how many groups."""
    x, out, groups = node.inputs[0], node.outputs[0], node.attrs["parts"]
    assert x is not None
    reason = f"{node.where} has this many groups"
    group = fixed_part(f"groups of {node.name}", groups)
    inner: Axis = (
        Value(f"channels of a group of {node.name}", (x.shape[1] // groups,), "virtual"),
        0,
    )
    yield Fixed(group, reason)
    yield Product((x, 1), (group, inner))
    yield Product((out, 1), (inner, group))
    yield from same_shape(node, tuple(i for i in range(x.ndim) if i != 1))


@operator("RoiAlign", "MaxRoiPool")
def regions(node: Node) -> Iterator[Statement]:
    """Channels of an image, cut out of regions; ``bins``: each bin has channels of its own."""
    x, boxes, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and boxes is not None
    for result in node.outputs:
        yield Same((result, 0), (boxes, 0))
    yield Fixed((boxes, 1), f"{node.where} reads boxes from this axis")
    yield Fixed((x, 0), f"{node.where} numbers the images")
    if node.attrs.get("bins"):
        reason = f"{node.where} has channels for each bin"
        bins = fixed_part(f"bins of {node.name}", prod(out.shape[2:]))
        yield Fixed(bins, reason)
        for result in node.outputs:
            yield Product((x, 1), ((result, 1), bins))
    else:
        for result in node.outputs:
            yield Same((result, 1), (x, 1))
    for axis in range(2, x.ndim):
        yield Fixed((x, axis), "a spatial axis")


@operator("GridSample")
def grid_sample(node: Node) -> Iterator[Statement]:
    """Channels are looked up at the positions that the second input holds."""
    x, grid, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and grid is not None
    yield Same((out, 0), (x, 0))
    yield Same((out, 0), (grid, 0))
    yield Same((out, 1), (x, 1))
    for axis in range(2, x.ndim):
        yield Fixed((x, axis), f"{node.where} mixes positions")
    for axis in range(1, grid.ndim):
        yield Fixed((grid, axis), f"{node.where} reads positions from it")


@operator("MaxUnpool")
def max_unpool(node: Node) -> Iterator[Statement]:
    """Entries are put back to the positions that the second input holds."""
    out, spatial = node.outputs[0], node.attrs["spatial"]
    for value in node.inputs[:2]:
        assert value is not None
        for axis in range(value.ndim):
            if axis < value.ndim - spatial:
                yield Same((out, axis), (value, axis))
            else:
                yield Fixed((value, axis), f"{node.where} mixes positions")


@operator("DeformConv", zero="biased", flops=conv_flops)
def deform_conv(node: Node) -> Iterator[Statement]:
    """Inputs: image, weight, bias, offsets, mask.

    ``groups``: the convolution's groups or ``None``; ``offset_groups``: into how many equal parts
    the channels of the image are divided, each with offsets of its own.
    """
    x, weight, bias, *moves = node.inputs
    out, groups, parts = node.outputs[0], node.attrs["groups"], node.attrs["offset_groups"]
    assert x is not None and weight is not None
    yield Same((out, 0), (x, 0))
    if groups is None:
        yield Same((out, 1), (weight, 0))
        yield Contract((x, 1), (weight, 1))
    else:
        yield Fixed((groups, 0), f"{node.where} has this many groups")
        yield Product((x, 1), ((groups, 0), (weight, 1)))
        rows = Value("rows of a group", (weight.shape[0] // groups.shape[0],), "virtual")
        yield Product((weight, 0), ((groups, 0), (rows, 0)))
        yield Same((out, 1), (weight, 0))
    if parts > 1:
        reason = f"{node.where} has offsets for each part of the channels"
        part = fixed_part("parts with offsets", parts)
        yield Fixed(part, reason)
        inner = Value("channels of a part", (x.shape[1] // parts,), "virtual")
        yield Product((x, 1), (part, (inner, 0)))
    if bias is not None:
        yield Same((out, 1), (bias, 0))
    for axis in range(2, x.ndim):
        yield Fixed((x, axis), "a spatial axis of a convolution")
        yield Fixed((weight, axis), "an axis of a convolution's kernel", quiet=True)
    for value in moves:
        if value is not None:
            yield Same((out, 0), (value, 0))
            for axis in range(1, value.ndim):
                yield Fixed((value, axis), f"{node.where} reads offsets from it")
