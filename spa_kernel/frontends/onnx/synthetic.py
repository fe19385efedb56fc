"""Inputs to calibrate an ONNX model on, made from the model alone."""

from __future__ import annotations

from math import ceil, prod

import numpy as np
import onnx

from spa_kernel.frontends.onnx.batches import Feeds
from spa_kernel.frontends.onnx.capture import Captured
from spa_kernel.frontends.onnx.inputs import dims, input_infos
from spa_kernel.graph.ir import Value
from spa_kernel.obspa.inputs import LARGE, SIZE, entries, spatial
from spa_kernel.obspa.noise import pictures


def synthetic(captured: Captured, *, count: int = 256, seed: int = 0) -> list[Feeds]:
    """Batches that look to the model more like its data than plain noise does.

    A floating point input with axes in space, (N, C, ...), is filled with `pictures`, any other
    with Gaussian noise; mean, deviation and, of pictures, the range are those of the array that the
    model was analysed with, if there is one. Whole numbers that look up entries of a stored table
    are drawn at random from all its entries, unless there are only two, which tell kinds of tokens
    apart. All else is as in the example; without one it is 0 where it looks something up and 1
    elsewhere, as in a mask of which nothing is hidden.

    Parameters
    ----------
    captured : Captured
    count : int
        How many samples are wanted; a batch more than that needs may be made.
    seed : int

    Returns
    -------
    list of dict
        Arrays by input name: of the shapes that the model was analysed with, but for the first
        axis where the model leaves that open.
    """
    rng = np.random.default_rng(seed)
    shapes = dict(captured.shapes)
    lengths = {shape[0] if shape else 0 for shape in shapes.values()}
    largest = max(map(prod, shapes.values()), default=1)
    if all(open_batch(info) for info in input_infos(captured.model)) and len(lengths) == 1:
        length = min(lengths) or 1
        times = max(1, min(SIZE // length, LARGE // largest))
        shapes = {name: (times * shape[0], *shape[1:]) for name, shape in shapes.items()}
    size = min((shape[0] if shape else 1 for shape in shapes.values()), default=1)
    return [
        {v.name: drawn(v, shapes[v.name], captured, rng) for v in captured.graph.inputs}
        for _ in range(ceil(count / max(size, 1)))
    ]


def open_batch(info: onnx.ValueInfoProto) -> bool:
    """Whether the model leaves the size of an input's first axis open."""
    sizes = dims(info)
    return sizes is None or (bool(sizes) and isinstance(sizes[0], str))


def drawn(
    value: Value, shape: tuple[int, ...], captured: Captured, rng: np.random.Generator
) -> np.ndarray:
    """An array for an input."""
    example, dtype = captured.given.get(value.name), np.dtype(value.dtype)
    known = example if isinstance(example, np.ndarray) and example.size else None
    # bfloat16 is of no kind that numpy knows.
    if dtype.kind in "fV":
        seen = spatial(value, captured.graph)
        made = pictures(rng, shape[0], shape[1], shape[2:]) if seen else rng.standard_normal(shape)
        if known is not None:
            known = known.astype(np.float64)
            made = made * (known.std() or 1.0) + known.mean()
            if seen and known.min() < known.max():
                made = made.clip(known.min(), known.max())
        return made.astype(dtype)
    rows = entries(value, captured.graph)
    if rows is not None and rows > 2:
        return rng.integers(rows, size=shape).astype(dtype)
    if known is not None:
        return np.resize(known, shape).astype(dtype)
    return np.full(shape, rows is None, dtype)
