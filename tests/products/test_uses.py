"""Every operator that sums products is one matrix product, entry by entry."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from spa_kernel.graph import Node, Value
from spa_kernel.products.patches import Geometry
from spa_kernel.products.uses import Use, convolved, letters, matrix_of, multiplied, weight_of

Pair = tuple[int, int]
CONVOLVE: dict[tuple[bool, int], Callable[..., torch.Tensor]] = {
    (False, 1): F.conv1d,
    (False, 2): F.conv2d,
    (False, 3): F.conv3d,
    (True, 1): F.conv_transpose1d,
    (True, 2): F.conv_transpose2d,
    (True, 3): F.conv_transpose3d,
}
# With letters that only one operand has, that the output lacks, or that are in all.
EQUATIONS = [
    "ij,jk->ik", "bij,jk->bik", "bij,kj->bik", "bij,bjk->bik", "nhd,hde->nhe", "bnhd,hde->bnhe",
    "ij,kj->ki", "hij,bhjk->bhik", "i,ij->j", "ij,j->i", "ij,jk->k", "ij,jk->", "bi,bi->b",
    "ij,jk,kl->il", "ij,k->ijk", "ab,cb,db->acd",
]  # fmt: skip


def node_of(op: str, arrays: list[torch.Tensor], out: torch.Tensor, **attrs: Any) -> Node:
    values = [Value(f"x{i}", tuple(a.shape)) for i, a in enumerate(arrays)]
    return Node(op, tuple(values), (Value("y", tuple(out.shape)),), attrs)


def check(use: Use, node: Node, position: int, weight: torch.Tensor, out: torch.Tensor) -> None:
    """All that a use says of a weight and of the output of the operator."""
    matrix = matrix_of(node, position, weight)
    blocks, width, count = use.shape
    assert matrix.shape == (blocks, matrix.shape[1], width)
    assert torch.equal(weight_of(node, position, matrix, tuple(weight.shape)), weight)
    x = torch.cat([x for x, _ in use.pieces(None, None)], dim=2)
    assert x.shape == use.shape
    assert use.like.dtype == x.dtype
    torch.testing.assert_close(use.squares(), x.double().square().mean(2))
    numbers = torch.randn(blocks, width, dtype=x.dtype)
    spread = matrix_of(node, position, use.spread(numbers).expand(weight.shape).contiguous())
    assert torch.equal(spread, numbers[:, None].expand_as(matrix))
    if not use.whole:
        torch.testing.assert_close((matrix @ x).sum(), out.sum())
        return
    y = use.outputs(out)
    assert prod(y.shape[2:]) == count
    torch.testing.assert_close(matrix @ x, y.flatten(2))
    most = max(1, count // 2)
    some = list(use.pieces(y, most))
    for part, beside in some:
        assert beside is not None
        torch.testing.assert_close(matrix @ part, beside)
    # A whole number of positions is taken of each picture.
    assert sum(part.shape[2] for part, _ in some) in range(most, min(count, most + y.shape[2]) + 1)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[torch.Tensor, torch.Tensor, Geometry]:
    dims, transposed, groups = draw(st.integers(1, 3)), draw(st.booleans()), draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(dims))

    kernel, stride, dilation, padding = each(1, 3), each(1, 3), each(1, 2), each(0, 2)
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    # As torch asks of a transposed one: something is left of the output.
    padding = tuple(min(p, r // 2) for p, r in zip(padding, reach, strict=True))
    extra = tuple(min(e, s - 1) if transposed else 0
                  for e, s in zip(each(0, 2), stride, strict=True))  # fmt: skip
    size = [r + 1 + more for r, more in zip(reach, each(0, 3), strict=True)]
    inner, rows = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x = torch.randn(draw(st.integers(1, 3)), groups * inner, *size, dtype=torch.float64)
    outer = (groups * inner, rows) if transposed else (groups * rows, inner)
    weight = torch.randn(*outer, *kernel, dtype=torch.float64)
    pads = tuple((p, p) for p in padding)
    return x, weight, Geometry(stride, pads, dilation, transposed, extra, groups)


@given(convolutions())
@settings(max_examples=80)
def test_convolutions(case: tuple[torch.Tensor, torch.Tensor, Geometry]) -> None:
    x, weight, geometry = case
    dims = x.ndim - 2
    options: dict[str, Any] = {"output_padding": geometry.extra} if geometry.transposed else {}
    out = CONVOLVE[geometry.transposed, dims](
        x, weight, stride=geometry.stride, padding=tuple(p for p, _ in geometry.padding),
        dilation=geometry.dilation, groups=geometry.groups, **options,
    )  # fmt: skip
    op = "ConvTranspose" if geometry.transposed else "Conv"
    node = node_of(op, [x, weight], out, geometry=geometry, group=geometry.groups)
    check(convolved(x, tuple(weight.shape), geometry), node, 1, weight, out)


@pytest.mark.parametrize("before", [0, 1])
def test_padding_of_two_sizes(before: int) -> None:
    x, weight = torch.randn(2, 4, 7, 6), torch.randn(6, 2, 2, 4)
    pads = (before, 1 - before), (1, 2)
    out = F.conv2d(F.pad(x, (*pads[1], *pads[0])), weight, groups=2)
    geometry = Geometry((1, 1), pads, (1, 1), False, (0, 0), 2)
    node = node_of("Conv", [x, weight], out, geometry=geometry, group=2)
    check(convolved(x, tuple(weight.shape), geometry), node, 1, weight, out)


def test_large_inputs_come_in_pieces(monkeypatch: Any) -> None:
    monkeypatch.setattr("spa_kernel.products.uses.PIECE", 200)
    x, weight = torch.randn(5, 3, 6, 6), torch.randn(4, 3, 3, 3)
    geometry = Geometry((1, 1), ((1, 1), (1, 1)), (1, 1), False, (0, 0), 1)
    out = F.conv2d(x, weight, padding=1)
    use = convolved(x, tuple(weight.shape), geometry)
    assert len(list(use.pieces(None, None))) == 5
    node = node_of("Conv", [x, weight], out, geometry=geometry, group=1)
    check(use, node, 1, weight, out)


def each_operand(node: Node, arrays: list[torch.Tensor], out: torch.Tensor) -> None:
    """Every operand of a product can be the weight."""
    terms, result = letters(node)
    assert torch.einsum(f"{','.join(terms)}->{result}", *arrays).shape == out.shape
    for position, weight in enumerate(arrays):
        rest = [i for i in range(len(arrays)) if i != position]
        use = multiplied(
            [arrays[i] for i in rest], tuple(weight.shape), terms[position],
            [terms[i] for i in rest], result,
        )  # fmt: skip
        check(use, node, position, weight, out)


@pytest.mark.parametrize("equation", EQUATIONS)
@given(sizes=st.lists(st.integers(1, 4), min_size=26, max_size=26))
@settings(max_examples=5)
def test_einsum(equation: str, sizes: list[int]) -> None:
    terms = equation.partition("->")[0].split(",")
    arrays = [
        torch.randn([sizes[ord(c) - 97] for c in term], dtype=torch.float64) for term in terms
    ]
    out = torch.einsum(equation, *arrays)
    each_operand(node_of("Einsum", arrays, out, equation=equation), arrays, out)


@pytest.mark.parametrize("shapes", [((3, 4), (4, 2)), ((5, 3, 4), (4, 2)), ((5, 3, 4), (5, 4, 2)),
                                    ((3, 4), (5, 4, 2)), ((2, 5, 3, 4), (5, 4, 2)), ((4,), (4, 2)),
                                    ((3, 4), (4,)), ((5, 3, 4), (4,)), ((4,), (4,))])  # fmt: skip
def test_matmul(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    arrays = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    out = arrays[0] @ arrays[1]
    each_operand(node_of("MatMul", arrays, out), arrays, out)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("second", [0, 1])
def test_gemm(first: int, second: int) -> None:
    a, b = torch.randn(3, 4, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    arrays = [a.T.contiguous() if first else a, b.T.contiguous() if second else b]
    each_operand(node_of("Gemm", arrays, a @ b, transA=first, transB=second), arrays, a @ b)
