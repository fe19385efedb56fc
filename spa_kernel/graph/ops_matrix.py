"""Products of matrices chosen at run time, distances, and complex numbers."""

from __future__ import annotations

from collections.abc import Iterator

from spa_kernel.graph.ir import Axis, Node
from spa_kernel.graph.operators import Contract, Fixed, Same, Statement, Summed, operator


def grouped_flops(node: Node) -> tuple[int, list[Axis]]:
    x, weight = node.inputs[0], node.inputs[1]
    assert x is not None and weight is not None
    return 2, [(x, 0), (weight, 1), (weight, 2)]


@operator("GroupedMatMul", flops=grouped_flops, zero="any")
def grouped_matmul(node: Node) -> Iterator[Statement]:
    """Each stretch of rows of the first input times a matrix of its own of the second one."""
    x, weight, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert x is not None and weight is not None
    yield Contract((x, 1), (weight, 1))
    yield Same((out, 1), (weight, 2))
    reason = f"{node.where} chooses along this axis at run time"
    yield Fixed((weight, 0), reason)
    yield Fixed((x, 0), reason)
    yield Fixed((out, 0), reason)
    for table in node.inputs[2:]:
        if table is not None:
            yield Fixed((table, 0), reason)


@operator("Distance", zero="never")
def distance(node: Node) -> Iterator[Statement]:
    """Between all rows of two matrices: entries that are zero in both add nothing."""
    a, b, out = node.inputs[0], node.inputs[1], node.outputs[0]
    assert a is not None and b is not None
    for value, at in ((a, out.ndim - 2), (b, out.ndim - 1)):
        yield Summed((value, value.ndim - 1))
        yield Same((out, at), (value, value.ndim - 2))
        for axis in range(value.ndim - 2):
            to = out.ndim - value.ndim + axis
            if value.shape[axis] == out.shape[to] != 1:
                yield Same((out, to), (value, axis))
    yield Same((a, a.ndim - 1), (b, b.ndim - 1))


@operator("ToComplex", "FromComplex")
def complex_parts(node: Node) -> Iterator[Statement]:
    """A last axis of two, real and imaginary part, becomes complex numbers, and back."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    for axis in range(min(x.ndim, out.ndim)):
        yield Same((out, axis), (x, axis))
    if node.op == "ToComplex":
        yield Fixed((x, x.ndim - 1), f"{node.where} takes pairs for complex numbers")


@operator("Diagonal")
def diagonal(node: Node) -> Iterator[Statement]:
    """Two axes become one, the last."""
    x, out = node.inputs[0], node.outputs[0]
    assert x is not None
    rest = [i for i in range(x.ndim) if i not in node.attrs["axes"]]
    for axis in node.attrs["axes"]:
        yield Fixed((x, axis), f"{node.where} takes the diagonal of this axis and another one")
    for i, axis in enumerate(rest):
        yield Same((out, i), (x, axis))
