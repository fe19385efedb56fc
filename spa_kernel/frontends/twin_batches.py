"""Batches as a person gives them to a model of any framework, for its torch twin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import torch

from spa_kernel.errors import DataNeeded
from spa_kernel.frontends.onnx.batches import feeds_of, parts
from spa_kernel.frontends.onnx.inputs import input_infos
from spa_kernel.frontends.onnx.twin.dtypes import to_tensor


class Batches:
    """Batches as tensors, in pieces of a size that the model takes: ``(inputs, targets)``.

    Parameters
    ----------
    data : iterable
        Batches, or a single one: an array or tensor of any framework, several in a tuple or a
        dict by input name, or any of these with targets, ``(inputs, targets)``. A dict stands for
        both; what in it is no input of the model goes to the loss alone.
    model : onnx.ModelProto

    Raises
    ------
    DataNeeded
        These are no batches, or some that the model does not accept.
    """

    def __init__(self, data: Any, model: onnx.ModelProto) -> None:
        if not isinstance(data, Iterable):
            raise DataNeeded(
                f"data must be an iterable of batches, not {type(data).__name__}: a list such as "
                "[(inputs, targets)], or of arrays"
            )
        pair = isinstance(data, tuple) and len(data) == 2 and hasattr(data[1], "shape")
        self.data = [data] if pair or hasattr(data, "shape") or isinstance(data, Mapping) else data
        self.model = model

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        infos = input_infos(self.model)
        names = [info.name for info in infos]
        for number, batch in enumerate(self.data, 1):
            inputs, targets = split(batch, len(names))
            if isinstance(inputs, Mapping):
                inputs = {k: v for k, v in inputs.items() if k in names}
            feeds = feeds_of((arrays(inputs), None), self.model, number)
            pieces, targets = list(parts(feeds, self.model)), tensors(targets)
            start, total = 0, sum(samples(piece) for piece in pieces)
            for piece in pieces:
                stop = start + samples(piece)
                own = targets if len(pieces) == 1 else cut(targets, total, start, stop)
                given = tuple(to_tensor(piece[name]) for name in names)
                # A dict would be taken for targets, too.
                yield given if len(given) > 1 else given[0], own
                start = stop


def counted(batches: Batches | None) -> Any:
    """Batches that can be gone through as often as the data itself."""
    if batches is None:
        return None
    return iter(batches) if isinstance(batches.data, Iterator) else batches


def split(batch: Any, count: int) -> tuple[Any, Any]:
    """A batch as inputs and targets; a dict stands for both."""
    if isinstance(batch, tuple | list) and len(batch) == 2:
        first, second = batch
        nested = isinstance(first, tuple | list | Mapping)
        if count == 1 or second is None or nested:
            return first, second
    return batch, batch if isinstance(batch, Mapping) else None


def arrays(value: Any) -> Any:
    """Arrays and tensors of any framework, in containers, as numpy arrays."""
    if isinstance(value, Mapping):
        return {k: arrays(v) for k, v in value.items()}
    if isinstance(value, list | tuple) and any(hasattr(v, "shape") for v in value):
        return [arrays(v) for v in value]
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    return np.asarray(value) if hasattr(value, "shape") else value


def tensors(value: Any) -> Any:
    """The same as torch tensors; what is no array stays."""
    if isinstance(value, torch.Tensor):
        return value.detach()
    if isinstance(value, Mapping):
        return {k: tensors(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(tensors(v) for v in value)
    return to_tensor(np.asarray(value)) if hasattr(value, "shape") else value


def samples(piece: Mapping[str, np.ndarray]) -> int:
    return min((len(array) for array in piece.values() if array.ndim), default=1)


def cut(targets: Any, total: int, start: int, stop: int) -> Any:
    """The targets of some samples of a batch.

    Raises
    ------
    DataNeeded
    """
    if isinstance(targets, Mapping):
        return {k: cut(v, total, start, stop) for k, v in targets.items()}
    if isinstance(targets, list | tuple):
        return type(targets)(cut(v, total, start, stop) for v in targets)
    if isinstance(targets, torch.Tensor) and targets.ndim and len(targets) == total:
        return targets[start:stop]
    if isinstance(targets, torch.Tensor):
        raise DataNeeded(
            f"the model takes fewer samples at a time than a batch has ({total}), and targets of "
            f"shape {list(targets.shape)} cannot be divided: give smaller batches"
        )
    return targets
