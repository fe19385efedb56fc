"""Which functions of torch take sizes as arguments, and of which axis each of them is.

Sizes that torch's C++ code works out for itself follow a prune on their own; these here are
numbers that the model's Python code passes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import torch
import torch.nn.functional as F

from spa_kernel.frontends.torch.tracked import TrackedInt, expression
from spa_kernel.graph.ir import Axis, Graph, Node, Value
from spa_kernel.graph.sizes import Const, Dim, Expr, Op, SizeUse


class Lookup(Protocol):
    """What a reader may ask of the recorder."""

    graph: Graph

    def value_of(self, tensor: torch.Tensor) -> Value | None: ...


Found = Iterator[tuple[Axis, Expr]]
Reader = Callable[[Lookup, tuple[Any, ...], dict[str, Any], Any, list[Node]], Found]
READERS: dict[Any, Reader] = {}

SIMPLE = {
    F.relu, F.relu6, F.leaky_relu, F.elu, F.selu, F.silu, F.mish, F.hardswish, F.hardsigmoid,
    F.hardtanh, F.sigmoid, F.tanh, F.dropout, F.dropout2d, F.softmax, F.batch_norm,
}  # fmt: skip
"""Functions written in Python that take no size from a tensor: there is nothing to watch."""


def reads(*functions: Any) -> Callable[[Reader], Reader]:
    """Register a reader for functions of torch."""

    def register(reader: Reader) -> Reader:
        READERS.update(dict.fromkeys(functions, reader))
        return reader

    return register


def argument(
    args: tuple[Any, ...], kwargs: dict[str, Any], position: int, name: str, default: Any
) -> Any:
    """An argument given by position or by name."""
    return args[position] if len(args) > position else kwargs.get(name, default)


def listed(look: Lookup, out: Any, sizes: Sequence[Any], first: int = 0) -> Found:
    """Sizes of consecutive axes; -1 is worked out by torch."""
    value = look.value_of(out)
    if value is not None and value.ndim >= first + len(sizes):
        for i, size in enumerate(sizes):
            if isinstance(size, int) and size != -1:
                yield (value, first + i), expression(size)


@reads(torch.Tensor.view, torch.Tensor.reshape, torch.reshape)
def shape_arguments(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    sizes = args[1:] or tuple(kwargs.values())[-1:]
    if len(sizes) == 1 and isinstance(sizes[0], Sequence):
        sizes = tuple(sizes[0])
    if all(isinstance(s, int) for s in sizes):
        yield from listed(look, out, sizes)


@reads(torch.Tensor.expand, torch.Tensor.broadcast_to, torch.broadcast_to)
def expand(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    """Copies along an axis: as many as the code says, and which of them stay is all one."""
    yield from shape_arguments(look, args, kwargs, out, nodes)
    free_copies(nodes)


@reads(torch.Tensor.expand_as)
def expand_as(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    value, other = look.value_of(out), look.value_of(argument(args, kwargs, 1, "other", None))
    if value is not None and other is not None:
        free_copies(nodes)
        for axis, size in enumerate(other.shape):
            yield (value, axis), Dim((other, axis), size)


@reads(torch.matmul, torch.Tensor.matmul, torch.Tensor.__matmul__, torch.Tensor.__rmatmul__)
def matmul(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    """Torch copies one operand along the other one's batch axes, and follows their sizes."""
    free_copies(nodes)
    yield from ()


def free_copies(nodes: list[Node]) -> None:
    """Let the copies that a call makes go one by one."""
    for node in nodes:
        if node.op == "Expand":
            node.attrs["free"] = True


@reads(torch.Tensor.masked_scatter)
def masked_scatter(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    """Whether the mask is the same along the last axis, so that whole rows are put in."""
    mask = look.value_of(argument(args, kwargs, 1, "mask", None))
    made = {v: node for node in look.graph.nodes for v in node.outputs} if mask else {}
    while mask in made and made[mask].op == "Identity":
        mask = made[mask].inputs[0]
    if mask in made and made[mask].op == "Expand":
        source = made[mask].inputs[0]
        assert source is not None
        nodes[-1].attrs["rows"] = source.shape[-1:] == (1,)
    yield from ()


@reads(torch.Tensor.unflatten, torch.unflatten)
def unflatten(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    dim = argument(args, kwargs, 1, "dim", 0)
    yield from listed(look, out, argument(args, kwargs, 2, "sizes", ()), dim % args[0].ndim)


def parts(look: Lookup, outs: Any, dim: int) -> list[Axis]:
    """The split axis of each part (a negative axis counts from the back)."""
    values = [look.value_of(o) for o in outs]
    return [(v, dim % v.ndim) for v in values if v is not None]


@reads(torch.Tensor.split, torch.split, torch.Tensor.split_with_sizes, torch.split_with_sizes)
def split(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    sizes = argument(args, kwargs, 1, "split_size_or_sections", kwargs.get("split_size"))
    axes = parts(look, out, argument(args, kwargs, 2, "dim", 0))
    if isinstance(sizes, int):
        sizes = [sizes] * len(axes)
    for (value, at), size in zip(axes, sizes, strict=False):
        # A shorter last part is what is left over: as many parts only if it keeps its size.
        length = value.shape[at]
        yield (value, at), expression(size) if length == size else Const(length)


@reads(torch.Tensor.tensor_split, torch.tensor_split)
def tensor_split(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    """Equal parts, whose borders torch works out from the size."""
    count = argument(args, kwargs, 1, "indices_or_sections", kwargs.get("sections"))
    dim, whole = argument(args, kwargs, 2, "dim", 0), look.value_of(args[0])
    if whole is not None and isinstance(count, int) and whole.shape[dim] % count == 0:
        size = whole.shape[dim]
        for node in nodes:
            node.attrs["borders"] = []
        for axis in parts(look, out, dim):
            yield axis, Op("//", Dim((whole, dim % whole.ndim), size), Const(count), size // count)


@reads(torch.Tensor.chunk, torch.chunk)
def chunk(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    """Every part but the last is ``ceil(size / number of parts)`` long."""
    count = argument(args, kwargs, 1, "chunks", kwargs.get("indices_or_sections"))
    dim, whole = argument(args, kwargs, 2, "dim", 0), look.value_of(args[0])
    if whole is not None and isinstance(count, int):
        size = whole.shape[dim]
        total = Dim((whole, dim % whole.ndim), size)
        for axis in parts(look, out, dim)[:-1]:
            # How many parts there are is fixed: the code takes them apart.
            yield axis, Op("ceil", total, Const(int(count)), -(-size // count))


@reads(F.glu)
def halves(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    """The two halves of a gated linear unit are equally long."""
    whole, axis = look.value_of(args[0]), nodes[0].attrs["axis"]
    assert whole is not None
    size = whole.shape[axis]
    for half in nodes[0].outputs:
        yield (half, axis), Op("//", Dim((whole, axis), size), Const(2), size // 2)


@reads(
    torch.conv1d,
    torch.conv2d,
    torch.conv3d,
    torch.conv_transpose1d,
    torch.conv_transpose2d,
    torch.conv_transpose3d,
)
def conv_groups(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    groups = argument(args, kwargs, 6, "groups", 1)
    yield from virtual_groups(nodes, groups)


@reads(torch.group_norm, F.group_norm)
def norm_groups(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    yield from virtual_groups(nodes, argument(args, kwargs, 1, "num_groups", 1))


def virtual_groups(nodes: list[Node], groups: int) -> Found:
    """The number of groups of the convolution or norm that was just recorded."""
    for node in nodes:
        if node.attrs.get("groups") is not None:
            yield (node.attrs["groups"], 0), expression(groups)


@reads(torch.layer_norm, F.layer_norm, torch.rms_norm, F.rms_norm)
def normalized_shape(look: Lookup, args: Any, kwargs: Any, out: Any, nodes: list[Node]) -> Found:
    sizes = argument(args, kwargs, 1, "normalized_shape", ())
    yield from listed(look, out, sizes, out.ndim - len(sizes))


def positions(args: Any, kwargs: Any, nodes: list[Node]) -> Found:
    """Literal positions of slices, matched by value with the tracked numbers of the call."""
    with_borders = [n for n in nodes if n.attrs.get("borders")]
    if with_borders:
        known: dict[int, list[Expr]] = {}
        for number in tracked_in((args, kwargs)):
            known.setdefault(abs(int(number)), []).append(magnitude(number))
        for node in with_borders:
            for stretch, position in node.attrs["borders"]:
                found = known.get(abs(position), [Const(abs(position))])
                # Equal numbers are taken in their order.
                yield (stretch, 0), found.pop(0) if len(found) > 1 else found[0]


def magnitude(number: TrackedInt) -> Expr:
    """The expression without its sign: ``-n`` counts n from the back."""
    expr = number.expr
    if int(number) >= 0:
        return expr
    if isinstance(expr, Op) and expr.left == Const(0) and expr.symbol == "-":
        return expr.right
    return Op("-", Const(0), expr, -int(number))


def tracked_in(value: Any) -> Iterator[TrackedInt]:
    """All tracked integers inside arguments, slices included."""
    if isinstance(value, TrackedInt):
        yield value
    elif isinstance(value, slice):
        yield from tracked_in((value.start, value.stop))
    elif isinstance(value, dict):
        yield from tracked_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tracked_in(item)


def unknown_sizes(node: Node) -> Iterator[SizeUse]:
    """Sizes in a call that compiled code makes: where its numbers come from is not known."""
    for stretch, position in node.attrs.get("borders", ()):
        yield SizeUse((stretch, 0), Const(abs(position)), node.where)
    if node.op in ("Reshape", "Expand", "Split"):
        for value in node.outputs:
            for axis, size in enumerate(value.shape):
                yield SizeUse((value, axis), Const(size), node.where)
