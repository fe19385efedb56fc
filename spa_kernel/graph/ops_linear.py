"""Operators that contract an axis: convolutions, matrix products, einsum."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from spa_kernel.graph.ir import Axis, Node, Value
from spa_kernel.graph.operators import Contract, Fixed, Product, Same, Statement, operator
from spa_kernel.graph.ops_elementwise import axis_of


def conv_flops(node: Node) -> tuple[int, list[Axis]]:
    """2 · batch · output positions · kernel · (weight rows) · (weight columns).

    The convention of ``torch.utils.flop_counter``; a transposed convolution counts its
    input positions.
    """
    x, weight = node.inputs[0], node.inputs[1]
    assert x is not None and weight is not None
    positions = (x if node.op == "ConvTranspose" else node.outputs[0]).shape[2:]
    factor = 2 * x.shape[0] * prod(positions) * prod(weight.shape[2:])
    return factor, [(weight, 0), (weight, 1)]


@operator("Conv", zero="biased", flops=conv_flops)
def conv(node: Node) -> Iterator[Statement]:
    yield from convolution(node, rows=0, columns=1)


@operator("ConvTranspose", zero="biased", flops=conv_flops)
def conv_transpose(node: Node) -> Iterator[Statement]:
    yield from convolution(node, rows=1, columns=0)


def convolution(node: Node, rows: int, columns: int) -> Iterator[Statement]:
    """``rows`` and ``columns``: the weight's axes for output and input channels.

    With groups, one of the two weight axes runs over all groups and the other one over the
    channels of a single group.
    """
    x, weight, bias = (*node.inputs, None)[:3]
    assert x is not None and weight is not None
    out = node.outputs[0]
    groups = node.attrs.get("groups")
    yield Same((out, 0), (x, 0))
    if groups is None:
        yield Same((out, 1), (weight, rows))
        yield Contract((x, 1), (weight, columns))
    else:
        group = (groups, 0)
        if rows == 0:
            yield Product((x, 1), (group, (weight, 1)))
            per_group = Value("rows of a group", (weight.shape[0] // groups.shape[0],), "virtual")
            yield Product((weight, 0), (group, (per_group, 0)))
            yield Same((out, 1), (weight, 0))
        else:
            per_group = Value("rows of a group", (weight.shape[0] // groups.shape[0],), "virtual")
            yield Product((weight, 0), (group, (per_group, 0)))
            yield Same((x, 1), (weight, 0))
            yield Product((out, 1), (group, (weight, 1)))
    if bias is not None:
        yield Same((out, 1), (bias, 0))
    for axis in range(2, x.ndim):
        yield Fixed((x, axis), "a spatial axis of a convolution")
        yield Fixed((weight, axis), "an axis of a convolution's kernel", quiet=True)


@operator("KernelAxes")
def kernel_axes(node: Node) -> Iterator[Statement]:
    """The axes of a kernel, in the layout that it is stored in, that nobody takes for channels."""
    for axis in node.attrs["axes"]:
        assert node.inputs[0] is not None
        reason = "an axis of a convolution's kernel"
        yield Fixed((node.inputs[0], axis), reason, quiet=True)


@operator("Kernel")
def kernel_layout(node: Node) -> Iterator[Statement]:
    """A transpose of a convolution's kernel, whose last two axes are channels."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis, source in enumerate(node.attrs["perm"]):
        if source >= x.ndim - 2:
            yield Same((out, axis), (x, source))
        else:
            yield Fixed((x, source), "an axis of a convolution's kernel", quiet=True)


@operator("ConvInteger", zero="biased", flops=conv_flops)
@operator("QLinearConv", zero="never", flops=conv_flops)
def integer_conv(node: Node) -> Iterator[Statement]:
    """Whole numbers; inputs from the fourth on have an entry for each row of the weight."""
    yield from convolution(node, rows=0, columns=1)
    for table in node.inputs[3:]:
        yield Same((node.outputs[0], 1), axis_of(table, 0))


def gemm_axes(node: Node) -> tuple[Axis, Axis, Axis, Axis]:
    """Row and contracted axis of A, contracted and column axis of B."""
    ta, tb = node.attrs.get("transA", 0), node.attrs.get("transB", 0)
    a, b = node.inputs[0], node.inputs[1]
    return axis_of(a, ta), axis_of(a, 1 - ta), axis_of(b, tb), axis_of(b, 1 - tb)


def gemm_flops(node: Node) -> tuple[int, list[Axis]]:
    row, inner, _, column = gemm_axes(node)
    return 2, [row, inner, column]


@operator("Gemm", zero="biased", flops=gemm_flops)
def gemm(node: Node) -> Iterator[Statement]:
    row, inner_a, inner_b, column = gemm_axes(node)
    out = node.outputs[0]
    yield Same((out, 0), row)
    yield Same((out, 1), column)
    yield Contract(inner_a, inner_b)
    bias = (*node.inputs, None)[2]
    if bias is not None:
        for axis in range(bias.ndim):
            at = 2 - bias.ndim + axis
            if bias.shape[axis] == out.shape[at] != 1:
                yield Same((out, at), (bias, axis))


def matmul_flops(node: Node) -> tuple[int, list[Axis]]:
    a, out = axis_of(node.inputs[0], -1)[0], node.outputs[0]
    return 2, [(a, a.ndim - 1), *((out, axis) for axis in range(out.ndim))]


@operator("MatMul", zero="any", flops=matmul_flops)
def matmul(node: Node) -> Iterator[Statement]:
    a, b, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    yield Contract((a, a.ndim - 1), (b, max(b.ndim - 2, 0)))
    tail = out.ndim
    if b.ndim > 1:
        tail -= 1
        yield Same((out, tail), (b, b.ndim - 1))
    if a.ndim > 1:
        tail -= 1
        yield Same((out, tail), (a, a.ndim - 2))
    for value in (a, b):
        for axis in range(value.ndim - 2):
            at = tail - (value.ndim - 2) + axis
            if value.shape[axis] == out.shape[at] != 1:
                yield Same((out, at), (value, axis))


@operator("MatMulInteger", zero="any", flops=matmul_flops)
@operator("QLinearMatMul", zero="never", flops=matmul_flops)
def integer_matmul(node: Node) -> Iterator[Statement]:
    """Whole numbers; inputs from the third on have an entry for each column of the second."""
    yield from matmul(node)
    for table in node.inputs[2:]:
        yield Same(axis_of(node.outputs[0], node.outputs[0].ndim - 1), axis_of(table, 0))


def einsum_axes(node: Node) -> tuple[list[tuple[Value, str]], str]:
    """Operands with a letter per axis, and the output's letters (no ellipsis)."""
    terms, _, out = node.attrs["equation"].replace(" ", "").partition("->")
    operands = [v for v in node.inputs if v is not None]
    return list(zip(operands, terms.split(","), strict=True)), out


def einsum_flops(node: Node) -> tuple[int, list[Axis]]:
    operands, _ = einsum_axes(node)
    seen = {letter: (value, i) for value, term in operands for i, letter in enumerate(term)}
    return 2, list(seen.values())


@operator("Einsum", zero="any", flops=einsum_flops)
def einsum(node: Node) -> Iterator[Statement]:
    if "." in node.attrs["equation"] or "->" not in node.attrs["equation"]:
        for value in (*node.inputs, *node.outputs):
            if value is not None:
                for axis in range(value.ndim):
                    yield Fixed((value, axis), f"{node.where} has an ellipsis or no arrow")
        return
    operands, result = einsum_axes(node)
    out = node.outputs[0]
    first: dict[str, Axis] = {}
    for value, term in operands:
        for axis, letter in enumerate(term):
            if letter in result:
                yield Same((out, result.index(letter)), (value, axis))
            elif letter in first:
                yield Contract(first[letter], (value, axis))
            else:
                first[letter] = (value, axis)
