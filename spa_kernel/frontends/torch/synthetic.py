"""Inputs to calibrate on, made from a network alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import ceil, prod
from typing import Any

import numpy as np
import torch
from torch import nn

from spa_kernel import progress
from spa_kernel.frontends.torch.batches import moved
from spa_kernel.frontends.torch.capture import device_of, quiet_eval, seeded, tensors_in
from spa_kernel.frontends.torch.distilled import distilled, has_statistics
from spa_kernel.frontends.torch.passes import Inputs, mapped, twice
from spa_kernel.frontends.torch.statistics.kept import Kept
from spa_kernel.graph.ir import Graph, Value
from spa_kernel.obspa.inputs import LARGE, SIZE, entries, spatial
from spa_kernel.obspa.noise import pictures


def synthetic(
    model: nn.Module, inputs: Inputs, graph: Graph, *, count: int = 256, seed: int = 0
) -> list[Any]:
    """Batches that look to the network more like its data than plain noise does.

    A floating point input with axes in space, (N, C, ...), is filled with `pictures`, any other
    with Gaussian noise; mean, deviation and, of pictures, the range are those of the example.
    Where the network has BatchNorm layers, these inputs are then changed so that the layers meet
    the means and variances that they have stored (`distilled`). Whole numbers that look up
    entries of a stored table are drawn at random from all its entries, unless there are only
    two, which tell kinds of tokens apart. All else is as in the example.

    Parameters
    ----------
    model : torch.nn.Module
        Stays as it is.
    inputs : tuple
        The example inputs (args, kwargs).
    graph : Graph
        What was recorded on them.
    count : int
        How many samples are wanted; a batch more than that needs may be made.
    seed : int

    Returns
    -------
    list
        Batches of inputs, on the model's device: a tensor, a dict of keywords, or
        ``(inputs, None)`` where the model takes several by their places. They have the example's
        shapes, except that the first axis is longer where the model takes more samples at once.
    """
    rng = np.random.default_rng(seed)
    device, _ = device_of(model)
    made: list[Any] = []
    with torch.inference_mode(False), Kept(model) as kept, seeded(), quiet_eval(model):
        makers = list(makers_of(inputs, graph, rng))
        example = moved(enlarged(model, inputs), device)
        kept.restore()
        tensors = tensors_in(example)
        size = len(tensors[0]) if tensors and tensors[0].ndim else 1
        batches = ceil(count / size)
        for number in range(1, batches + 1):
            progress.report("making inputs, batch", number, batches)
            one = remade(example, makers)
            if has_statistics(model):
                one = distilled(model, one)
                kept.restore()
            made.append(as_given(one))
    return made


Maker = Callable[[torch.Tensor], torch.Tensor]


def makers_of(inputs: Inputs, graph: Graph, rng: np.random.Generator) -> Iterator[Maker]:
    """For each tensor of the inputs, what makes another one of the same shape and type."""
    for value, example in zip(graph.inputs, tensors_in(inputs), strict=False):
        yield maker(value, example, graph, rng)


def remade(example: Inputs, makers: list[Maker]) -> Inputs:
    """Inputs like the example, by what makes each tensor of them."""
    turn = iter(makers)
    made: Inputs = mapped(example, lambda x: next(turn)(x))
    return made


def maker(value: Value, example: torch.Tensor, graph: Graph, rng: np.random.Generator) -> Maker:
    """What makes other tensors like the example of an input of the graph."""
    if example.is_floating_point() and example.numel():
        mean, spread = float(example.double().mean()), float(example.double().std(correction=0))
        low, high = example.min(), example.max()
        spread = spread or 1.0

        def numbers(x: torch.Tensor) -> torch.Tensor:
            drawn = torch.from_numpy(rng.standard_normal(tuple(x.shape), np.float32))
            return (drawn * spread + mean).to(x)

        def seen(x: torch.Tensor) -> torch.Tensor:
            drawn = torch.from_numpy(pictures(rng, x.shape[0], x.shape[1], tuple(x.shape[2:])))
            found = (drawn * spread + mean).to(x)
            return found.clamp(low, high) if low < high else found

        return seen if spatial(value, graph) else numbers
    rows = entries(value, graph)
    if not example.is_floating_point() and rows is not None and rows > 2:
        return lambda x: torch.from_numpy(rng.integers(rows, size=tuple(x.shape))).to(x)
    return lambda x: x


def enlarged(model: nn.Module, inputs: Inputs) -> Inputs:
    """The inputs several times in one batch, if the model takes that as more samples."""
    tensors = tensors_in(inputs)
    double = twice(inputs)
    if double is inputs:
        return inputs
    length = len(tensors[0])
    most = LARGE // max(prod(t.shape) for t in tensors)
    times = min(SIZE // length, most)
    if times < 2:
        return inputs
    try:
        # A forward may write into its inputs.
        alone, both = (
            tensors_in(model(*args, **kwargs))
            for args, kwargs in (moved(i, device_of(model)[0]) for i in (inputs, double))
        )
    except Exception:
        # The batch's size is written down in the model's code.
        return inputs
    if [(2 * len(t), *t.shape[1:]) for t in alone if t.ndim] != [t.shape for t in both if t.ndim]:
        return inputs
    larger: Inputs = mapped(inputs, lambda x: x.repeat(times, *(1,) * (x.ndim - 1)))
    return larger


def as_given(inputs: Inputs) -> Any:
    """Inputs as a batch of data that a person would give."""
    args, kwargs = inputs
    if kwargs:
        return kwargs
    return args[0] if len(args) == 1 else (args, None)
