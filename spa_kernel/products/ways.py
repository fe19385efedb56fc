"""From where a weight is used back to the parameter that it is made of, entry by entry."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch

from spa_kernel.graph.ir import Node, Value

Shape = tuple[int, ...]
MIXING = frozenset("MatMul Gemm Einsum Conv ConvTranspose Softmax Gather Tile Roll Pad".split())
"""Operators whose output has other entries than their input, though it may be as large."""


class Step(NamedTuple):
    """One operator on the way, as it takes a tensor of shape ``shape`` to ``made``."""

    op: str
    shape: Shape
    made: Shape
    detail: tuple[Any, ...] = ()


class Way(NamedTuple):
    """From a parameter to where it is used; the last step is the first one to be taken back."""

    parameter: str
    steps: tuple[Step, ...]


def from_weights(nodes: list[Node]) -> dict[Value, Node]:
    """What is worked out from stored tensors and constants alone, and by which operator."""
    made: dict[Value, Node] = {}
    for node in nodes:
        if all(v is None or v.stored or v.kind == "constant" or v in made for v in node.inputs):
            made.update(dict.fromkeys(node.outputs, node))
    return made


def ways(value: Value, made: Mapping[Value, Node], after: tuple[Step, ...] = ()) -> Iterator[Way]:
    """The ways from parameters to a value along which every entry stays one entry.

    Parameters
    ----------
    value : Value
    made : mapping of Value to Node
        The values that are worked out from stored tensors alone.
    after : tuple of Step
        What comes between this value and the use.
    """
    if value.kind == "parameter":
        yield Way(value.name, after)
    node = made.get(value)
    if node is None:
        return
    for position, source in enumerate(node.inputs):
        if source is not None and source.kind != "constant":
            detail = moved(node, position, source, value)
            if detail is not None:
                step = Step(node.op, source.shape, value.shape, detail)
                yield from ways(source, made, (step, *after))


def moved(node: Node, position: int, source: Value, out: Value) -> tuple[Any, ...] | None:
    """How an operator moves the entries of one input; ``None`` where it does more than that."""
    axis = node.attrs.get("axis", 0)
    if node.op == "Transpose":
        return tuple(node.attrs["perm"])
    if node.op in ("Reshape", "Expand"):
        return ()
    if node.op == "Concat":
        return axis, sum(v.shape[axis] for v in node.inputs[:position] if v is not None)
    if node.op == "Split":
        start = sum(v.shape[axis] for v in node.outputs[: node.outputs.index(out)])
        return ((axis, tuple(range(start, start + out.shape[axis]))),)
    if node.op == "Slice":
        return tuple((a, tuple(i.tolist())) for a, i in sorted(node.attrs["index"].items()))
    # A weight that is scaled, masked or standardised before its use: entry by entry.
    return () if source.shape == out.shape and node.op not in MIXING else None


def back(array: torch.Tensor, way: Way) -> torch.Tensor:
    """Sums over what each entry of the parameter became; zero for an entry that is not used.

    Parameters
    ----------
    array : torch.Tensor
        Of a shape that broadcasts to the weight's where it is used.

    Returns
    -------
    torch.Tensor
        Of a shape that broadcasts to the parameter's.
    """
    for step in reversed(way.steps):
        array = undone(array, step)
    return array


def undone(array: torch.Tensor, step: Step) -> torch.Tensor:
    """`back` by one step."""
    if step.op == "Transpose":
        return array.permute(torch.argsort(torch.tensor(step.detail)).tolist())
    if step.op == "Reshape":
        if [n for n in step.shape if n != 1] == [n for n in step.made if n != 1]:
            left = iter([m for m, n in zip(array.shape, step.made, strict=True) if n != 1])
            return array.reshape([1 if n == 1 else next(left) for n in step.shape])
        return array.expand(step.made).reshape(step.shape)
    if step.op == "Expand":
        shift = len(step.made) - len(step.shape)
        axes = [i for i, n in enumerate(step.made) if i < shift or step.shape[i - shift] == 1 != n]
        array = array.expand([n if i in axes else array.shape[i] for i, n in enumerate(step.made)])
        array = array.sum(axes, keepdim=True) if axes else array
        return array.reshape(array.shape[shift:])
    if step.op == "Concat":
        axis, start = step.detail
        return array if array.shape[axis] == 1 else array.narrow(axis, start, step.shape[axis])
    if step.op in ("Split", "Slice"):
        for axis, index in step.detail:
            sizes, long = list(array.shape), list(array.shape)
            sizes[axis], long[axis] = len(index), step.shape[axis]
            where = torch.tensor(index, device=array.device)
            array = array.new_zeros(long).index_add_(axis, where, array.expand(sizes))
    return array


def forth(array: torch.Tensor, way: Way) -> torch.Tensor:
    """What becomes of a parameter's entries where it is used: `back` is its adjoint.

    Not for ways through an operator that joins parts or works on entries.

    Parameters
    ----------
    array : torch.Tensor
        Of the parameter's shape.
    """
    for step in way.steps:
        if step.op == "Transpose":
            array = array.permute(step.detail)
        elif step.op == "Reshape":
            array = array.reshape(step.made)
        elif step.op == "Expand":
            array = array.expand(step.made)
        else:
            for axis, index in step.detail:
                array = array.index_select(axis, torch.tensor(index, device=array.device))
    return array


def pure(way: Way) -> bool:
    """Whether the way only moves entries, each to one place: a weight can be given new content."""
    return all(step.op in ("Transpose", "Reshape", "Split", "Slice") for step in way.steps)
