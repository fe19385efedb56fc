"""Batches as a person gives them, for an ONNX model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper

from spa_kernel import progress
from spa_kernel.errors import CaptureError, DataNeeded
from spa_kernel.frontends.onnx.inputs import dims, given_inputs, input_infos
from spa_kernel.obspa.inputs import SIZE

Feeds = dict[str, np.ndarray]


def batches_of(data: Any, model: onnx.ModelProto) -> Iterator[Feeds]:
    """The batches as arrays by input name, in pieces of a size that the model takes.

    Parameters
    ----------
    data : iterable
        Batches, or a single one: an array (or tensor), several in a tuple or a dict by input name,
        or any of these with targets, ``(inputs, targets)``, which are not looked at.
    model : onnx.ModelProto

    Raises
    ------
    DataNeeded
        These are no batches, there is none, or one that the model does not accept.
    """
    if not isinstance(data, Iterable):
        raise DataNeeded(
            f"data must be an iterable of batches, not {type(data).__name__}: a list of arrays, or "
            "of dicts by input name"
        )
    data = [data] if hasattr(data, "shape") or isinstance(data, Mapping) else data
    total, number = len(data) if hasattr(data, "__len__") else None, 0
    for number, batch in enumerate(data, 1):
        progress.report("reading batches, batch", number, total)
        yield from parts(feeds_of(batch, model, number), model)
    if not number:
        raise DataNeeded(
            "data holds no batch: give a list or a DataLoader (a generator can be gone through "
            "only once)"
        )


def feeds_of(batch: Any, model: onnx.ModelProto, number: int) -> Feeds:
    """The arrays of one batch, of the types that the model takes."""
    infos, inputs = input_infos(model), batch
    if isinstance(batch, tuple | list) and len(batch) == 2:
        first, second = batch
        nested = isinstance(first, tuple | list | Mapping)
        if len(infos) == 1 or second is None or nested:
            inputs = first
    try:
        given = given_inputs(model, inputs)
    except CaptureError as error:
        raise DataNeeded(f"batch {number} of the data does not fit the model: {error}") from error
    feeds: Feeds = {}
    for info in infos:
        array = given.get(info.name)
        if not isinstance(array, np.ndarray):
            raise DataNeeded(
                f"batch {number} of the data holds no array for input {info.name!r}: give arrays "
                f"for {[i.name for i in infos]}, in this order or in a dict"
            )
        if not array.size:
            raise DataNeeded(f"batch {number} of the data is empty")
        dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
        feeds[info.name] = array.astype(dtype, copy=False)
    return feeds


def parts(feeds: Feeds, model: onnx.ModelProto) -> Iterator[Feeds]:
    """A batch in pieces: of the model's own size, or of at most `SIZE` samples."""
    lengths = {len(array) if array.ndim else 0 for array in feeds.values()}
    sizes = {(dims(info) or [""])[0] for info in input_infos(model)}
    fixed = {n for n in sizes if isinstance(n, int)}
    if len(lengths) > 1 or (fixed and len(sizes) > 1):
        yield feeds
        return
    total, size = lengths.pop(), fixed.pop() if fixed else SIZE
    if total % size and size in sizes:
        raise DataNeeded(
            f"the model takes {size} samples at a time, and a batch has {total}: give batches of "
            f"{size}, or of a multiple of it"
        )
    for start in range(0, max(total, 1), size):
        yield {n: a[start : start + size] if a.ndim else a for n, a in feeds.items()}
