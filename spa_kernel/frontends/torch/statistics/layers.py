"""What weights are multiplied by: every operator that sums products as one matrix product.

A use of a weight is ``out = W X`` for each of G blocks: the D entries of a row of W meet the D
rows of X, whose n columns are the positions (pictures, pixels, tokens) that are summed over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from string import ascii_letters
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

from spa_kernel.frontends.torch.statistics.observe import Observer
from spa_kernel.frontends.torch.statistics.run import wide
from spa_kernel.frontends.torch.statistics.ways import Way, ways
from spa_kernel.graph.ir import Node

PIECE = 2**24
"""Most entries of a piece of X that is written out."""
CONVOLUTIONS = "Conv", "ConvTranspose"


class Use(NamedTuple):
    """One use of a weight.

    Attributes
    ----------
    way : Way
        How the weight is made of a parameter.
    squares : callable
        Mean of the squares of the rows of X, (G, D).
    pieces : callable
        X, (G, D, n), in pieces along n.
    shape : (int, int, int)
        G, D, n.
    spread : callable
        From numbers for rows of X, (G, D), to a shape that broadcasts to the weight's, as it is
        used.
    like : torch.Tensor
        An empty tensor of the type of X.
    """

    way: Way
    squares: Callable[[], torch.Tensor]
    pieces: Callable[[], Iterator[torch.Tensor]]
    shape: tuple[int, int, int]
    spread: Callable[[torch.Tensor], torch.Tensor]
    like: torch.Tensor


def uses(observer: Observer, node: Node, arguments: tuple[Any, ...]) -> Iterator[Use]:
    """The uses of weights by an operator that was just carried out.

    Not those inside of recurrent layers, of deformable convolutions, and of experts that are
    chosen at run time: they are no such product, or X is not seen.
    """
    if node.op in CONVOLUTIONS:
        weight = node.inputs[1]
        found = list(ways(weight, observer.weights)) if weight is not None else []
        x = observer.tensor(node.inputs[0]) if node.inputs[0] is not None else None
        if found and x is not None:
            for way in found:
                yield convolved(way, wide(x), arguments)
    elif node.op in ("Gemm", "MatMul", "Einsum"):
        terms, out = letters(node)
        for position in range(len(terms)):
            operand = node.inputs[position]
            assert operand is not None
            for way in ways(operand, observer.weights):
                others = [v for i, v in enumerate(node.inputs[: len(terms)]) if i != position]
                tensors = [observer.tensor(v) for v in others if v is not None]
                known = [wide(t) for t in tensors if t is not None]
                rest = terms[:position] + terms[position + 1 :]
                if len(known) == len(rest):
                    yield multiplied(way, known, terms[position], rest, out)


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


def multiplied(way: Way, others: list[torch.Tensor], own: str, rest: list[str], out: str) -> Use:
    """A weight with these axes, multiplied by the product of all other operands."""
    sizes: dict[str, int] = {}
    for tensor, term in zip(others, rest, strict=True):
        sizes.update(zip(term, tensor.shape, strict=True))
    block = [c for c in own if c in sizes and c in out]
    inner = [c for c in own if c in sizes and c not in out]
    outer = [c for c in sizes if c not in own]
    g, d, n = (prod(sizes[c] for c in part) for part in (block, inner, outer))
    equation = f"{','.join(rest)}->{''.join(block + inner + outer)}"

    def rows() -> torch.Tensor:
        return torch.einsum(equation, *others).reshape(g, d, n)

    def spread(numbers: torch.Tensor) -> torch.Tensor:
        array = numbers.reshape([sizes[c] for c in block + inner])
        order = [c for c in own if c in sizes]
        array = array.permute([(block + inner).index(c) for c in order])
        return array.reshape([sizes.get(c, 1) for c in own])

    return Use(
        way,
        lambda: rows().square().mean(2, dtype=torch.float64),
        lambda: iter([rows()]),
        (g, d, n),
        spread,
        others[0].new_empty(0),
    )


def convolved(way: Way, x: torch.Tensor, arguments: tuple[Any, ...]) -> Use:
    """A convolution's weight, multiplied by the patches of a picture."""
    weight, given = arguments[1], arguments[3:9]
    dims = weight.ndim - 2
    stride, padding, dilation, transposed, extra, groups = given
    stride, padding, dilation, extra = (
        list(v) * (dims // len(v)) if len(v) else [0] * dims
        for v in (stride, padding, dilation, extra)
    )
    kernel, rows = tuple(weight.shape[2:]), x.shape[1] // groups

    def patches(x: torch.Tensor) -> torch.Tensor:
        """(..., positions, kernel) of a picture (..., size)."""
        if transposed:
            return dilated_patches(x, kernel, stride, padding, dilation, extra)
        return windows(x, kernel, stride, padding, dilation)

    def squares() -> torch.Tensor:
        total = patches(x.square().sum(0)).double()
        lead = total.ndim - 2 * dims
        total = total.mean(list(range(lead, lead + dims))) / len(x)
        return total.reshape(groups, rows * prod(kernel))

    def pieces() -> Iterator[torch.Tensor]:
        few = max(1, PIECE // max(1, x.shape[1] * count * prod(kernel)))
        for part in x.split(few):
            found = patches(part).reshape(len(part), groups, rows, count, prod(kernel))
            found = found.permute(1, 2, 4, 0, 3)
            yield found.reshape(groups, rows * prod(kernel), len(part) * count)

    def spread(numbers: torch.Tensor) -> torch.Tensor:
        array = numbers.reshape(groups, rows, *kernel)
        if transposed:
            return array.reshape(groups * rows, 1, *kernel)
        return array if groups == 1 else array.repeat_interleave(weight.shape[0] // groups, 0)

    count = prod(patches(x[:1, :1]).shape[2 : 2 + dims])
    shape = groups, rows * prod(kernel), len(x) * count
    return Use(way, squares, pieces, shape, spread, x.new_empty(0))


def windows(
    x: torch.Tensor, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any
) -> torch.Tensor:
    """All patches of a picture: from (..., size) to (..., positions, kernel), a view."""
    dims = len(kernel)
    x = F.pad(x, [p for pad in reversed(padding) for p in (pad, pad)])
    first = x.ndim - dims
    for i in range(dims):
        # Each turn takes an axis of x and adds one of the kernel at the end.
        x = x.unfold(first + i, dilation[i] * (kernel[i] - 1) + 1, stride[i])
        x = x[..., :: dilation[i]]
    return x


def dilated_patches(
    x: torch.Tensor, kernel: tuple[int, ...], stride: Any, padding: Any, dilation: Any, extra: Any
) -> torch.Tensor:
    """Patches that a transposed convolution's outputs are made of: zeros between the entries."""
    dims = len(kernel)
    lead = x.shape[: x.ndim - dims]
    sizes = [(n - 1) * s + 1 + e for n, s, e in zip(x.shape[-dims:], stride, extra, strict=True)]
    apart = x.new_zeros((*lead, *sizes))
    where: list[Any] = [slice(0, n - e, s) for n, s, e in zip(sizes, stride, extra, strict=True)]
    apart[(..., *where)] = x
    around = [d * (k - 1) - p for d, k, p in zip(dilation, kernel, padding, strict=True)]
    found = windows(apart, kernel, [1] * dims, around, dilation)
    return found.flip(list(range(-dims, 0)))
