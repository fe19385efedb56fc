"""What weights are multiplied by: every operator that sums products as one matrix product.

A use of a weight is ``out = W X`` for each of G blocks: the D entries of a row of W meet the D
rows of X, whose n columns are the positions (pictures, pixels, tokens) that are summed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from math import prod
from string import ascii_letters
from typing import Any

import torch

from spa_kernel.graph.ir import Node
from spa_kernel.products.patches import Geometry, patches

PIECE = 2**24
"""Most entries of a piece of X that is written out."""
CONVOLUTIONS = "Conv", "ConvTranspose"
PRODUCTS = "Gemm", "MatMul", "Einsum"

Pieces = Iterator[tuple[torch.Tensor, torch.Tensor | None]]
Turn = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Use:
    """One use of a weight.

    Attributes
    ----------
    shape : (int, int, int)
        G, D, n.
    squares : callable
        Mean of the squares of the rows of X, (G, D).
    pieces : callable
        ``pieces(y, most)``: X, (G, D, m), in pieces along n, and beside it the same positions of
        what `outputs` made, (G, R, m), where that is given. With ``most``, about so many positions
        are taken of all.
    outputs : callable
        From the output of the operator to (G, R, pictures, n / pictures); for `whole` uses.
    spread : callable
        From numbers for rows of X, (G, D), to a shape that broadcasts to the weight's, as it is
        used.
    whole : bool
        Whether the output is W X itself, position by position, and not a sum over some of them.
    like : torch.Tensor
        An empty tensor of the type of X.
    """

    shape: tuple[int, int, int]
    squares: Callable[[], torch.Tensor]
    pieces: Callable[[torch.Tensor | None, int | None], Pieces]
    outputs: Turn
    spread: Turn
    whole: bool
    like: torch.Tensor


def letters(node: Node) -> tuple[list[str], str]:
    """Operands and output of a product in the letters of ``einsum``."""
    a, b = node.inputs[:2]
    assert a is not None and b is not None
    if node.op == "Einsum":
        terms, _, out = node.attrs["equation"].replace(" ", "").partition("->")
        return terms.split(","), out
    if node.op == "Gemm":
        row = "ki" if node.attrs.get("transA") else "ik"
        return [row, "jk" if node.attrs.get("transB") else "kj"], "ij"
    spare = ascii_letters[26 : 26 + max(a.ndim, b.ndim)]
    left = spare[len(spare) - max(a.ndim - 2, 0) :] + "ik"[-min(a.ndim, 2) :]
    right = spare[len(spare) - max(b.ndim - 2, 0) :] + "kj"[: min(b.ndim, 2)]
    longer = max(left, right, key=len)
    out = longer[:-2] + ("i" if a.ndim > 1 else "") + ("j" if b.ndim > 1 else "")
    return [left, right], out


@dataclass(frozen=True, slots=True)
class Axes:
    """The axes of a weight among those of a product, as letters.

    Attributes
    ----------
    block : str
        Each index has a product of its own.
    rows, inner : str
        Of W.
    """

    block: str
    rows: str
    inner: str

    @classmethod
    def of(cls, own: str, rest: list[str], out: str) -> Axes:
        """Of a weight with the axes ``own``."""
        others = "".join(rest)
        return cls(
            "".join(c for c in own if c in others and c in out),
            "".join(c for c in own if c not in others),
            "".join(c for c in own if c in others and c not in out),
        )


def multiplied(
    others: list[torch.Tensor], shape: tuple[int, ...], own: str, rest: list[str], out: str
) -> Use:
    """A weight of a shape and with these axes, multiplied by the product of all other operands."""
    sizes = dict(zip(own, shape, strict=True))
    known: dict[str, int] = {}
    for tensor, term in zip(others, rest, strict=True):
        known.update(zip(term, tensor.shape, strict=True))
    sizes.update(known)
    axes = Axes.of(own, rest, out)
    outer = "".join(c for c in known if c not in own)
    g, r, d, n = (
        prod(sizes[c] for c in part) for part in (axes.block, axes.rows, axes.inner, outer)
    )
    equation = f"{','.join(rest)}->{axes.block}{axes.inner}{outer}"
    whole = sorted(out) == sorted(axes.block + axes.rows + outer)

    def inputs() -> torch.Tensor:
        return torch.einsum(equation, *others).reshape(g, d, n)

    def pieces(y: torch.Tensor | None, most: int | None) -> Pieces:
        x = inputs()
        y = None if y is None else y.flatten(2)
        if most is not None and most < n:
            where = chosen(n, most, x.device)
            x, y = x[..., where], None if y is None else y[..., where]
        yield x, y

    def spread(numbers: torch.Tensor) -> torch.Tensor:
        array = numbers.reshape([sizes[c] for c in axes.block + axes.inner])
        order = "".join(c for c in own if c not in axes.rows)
        array = arranged(array, axes.block + axes.inner, order)
        return array.reshape([1 if c in axes.rows else sizes[c] for c in own])

    return Use(
        (g, d, n),
        lambda: inputs().square().mean(2, dtype=torch.float64),
        pieces,
        lambda y: arranged(y, out, axes.block + axes.rows + outer).reshape(g, r, 1, n),
        spread,
        whole,
        others[0].new_empty(0),
    )


def arranged(array: torch.Tensor, present: str, wanted: str) -> torch.Tensor:
    """The same axes in another order."""
    return array.permute([present.index(c) for c in wanted])


def matrix_of(node: Node, position: int, weight: torch.Tensor) -> torch.Tensor:
    """W, (G, R, D), of a weight as it is used."""
    if node.op in CONVOLUTIONS:
        geometry: Geometry = node.attrs["geometry"]
        groups, area = geometry.groups, prod(weight.shape[2:])
        if geometry.transposed:
            apart = weight.reshape(groups, -1, weight.shape[1], area)
            return apart.transpose(1, 2).reshape(groups, weight.shape[1], -1)
        return weight.reshape(groups, len(weight) // groups, -1)
    own, axes = axes_of(node, position)
    order = axes.block + axes.rows + axes.inner
    sizes = dict(zip(own, weight.shape, strict=True))
    shape = [prod(sizes[c] for c in part) for part in (axes.block, axes.rows, axes.inner)]
    return arranged(weight, own, order).reshape(shape)


def weight_of(
    node: Node, position: int, matrix: torch.Tensor, shape: tuple[int, ...]
) -> torch.Tensor:
    """The weight of a shape, as it is used, that is W: `matrix_of` taken back."""
    if node.op in CONVOLUTIONS:
        geometry: Geometry = node.attrs["geometry"]
        if geometry.transposed:
            apart = matrix.reshape(geometry.groups, shape[1], -1, prod(shape[2:]))
            return apart.transpose(1, 2).reshape(shape)
        return matrix.reshape(shape)
    own, axes = axes_of(node, position)
    order, sizes = axes.block + axes.rows + axes.inner, dict(zip(own, shape, strict=True))
    return arranged(matrix.reshape([sizes[c] for c in order]), order, own)


def axes_of(node: Node, position: int) -> tuple[str, Axes]:
    """The axes of an operand of a product that is no convolution."""
    terms, out = letters(node)
    return terms[position], Axes.of(
        terms[position], [*terms[:position], *terms[position + 1 :]], out
    )


def convolved(x: torch.Tensor, shape: tuple[int, ...], geometry: Geometry) -> Use:
    """A kernel of a shape, multiplied by the patches of a picture (batch, channels, size)."""
    kernel, groups = tuple(shape[2:]), geometry.groups
    dims, area = len(kernel), prod(kernel)
    inner = x.shape[1] // groups
    rows = shape[1] if geometry.transposed else shape[0] // groups
    size = patches(x[:1, :1], kernel, geometry).shape[2 : 2 + dims]
    count = prod(size)

    def squares() -> torch.Tensor:
        total = patches(x.square().sum(0), kernel, geometry).double()
        total = total.mean(list(range(1, 1 + dims))) / len(x)
        return total.reshape(groups, inner * area)

    def pieces(y: torch.Tensor | None, most: int | None) -> Pieces:
        share = count if most is None else min(count, -(-most // max(len(x), 1)))
        few = max(1, PIECE // max(1, x.shape[1] * share * area))
        for start in range(0, len(x), few):
            part = x[start : start + few]
            found = patches(part, kernel, geometry)
            where = None
            if share < count:
                # Other positions of each picture, so that all are seen.
                where = chosen(count, share, x.device, start)
                lines = torch.unravel_index(where, size)
                every: list[Any] = [slice(None), slice(None), *lines]
                found = found[tuple(every)]
            found = found.reshape(len(part), groups, inner, share, area).permute(1, 2, 4, 0, 3)
            beside = None
            if y is not None:
                beside = y[:, :, start : start + few]
                beside = (beside if where is None else beside[..., where]).flatten(2)
            yield found.reshape(groups, inner * area, len(part) * share), beside

    def spread(numbers: torch.Tensor) -> torch.Tensor:
        array = numbers.reshape(groups, inner, *kernel)
        if geometry.transposed:
            return array.reshape(groups * inner, 1, *kernel)
        return array if groups == 1 else array.repeat_interleave(rows, 0)

    return Use(
        (groups, inner * area, len(x) * count),
        squares,
        pieces,
        lambda y: y.reshape(len(x), groups, rows, count).permute(1, 2, 0, 3),
        spread,
        True,
        x.new_empty(0),
    )


def chosen(count: int, most: int, device: torch.device, turn: int = 0) -> torch.Tensor:
    """About ``most`` of ``count`` positions, the same ones every time for the same ``turn``."""
    generator = torch.Generator().manual_seed(turn)
    return torch.randperm(count, generator=generator)[:most].sort().values.to(device)
