"""Gluon blocks and example inputs, as a person gives them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.examples import array_or_shape, is_shape
from spa_kernel.frontends.mxnet import mx

SUFFIX = "-symbol.json"


def opened(model: Any) -> Any:
    """The block itself, or the one in the files that ``HybridBlock.export`` wrote.

    Raises
    ------
    CaptureError
    """
    if isinstance(model, mx.gluon.Block):
        return model
    path = Path(model)
    stem = path.name.removesuffix(SUFFIX)
    saved = re.compile(re.escape(stem) + r"-\d{4,}\.params")
    if not path.exists():
        raise CaptureError(f"there is no file {path}")
    found = sorted(p for p in path.parent.iterdir() if saved.fullmatch(p.name))
    if not found:
        raise CaptureError(f"there are no parameters beside {path}: {stem}-0000.params is missing")
    try:
        symbol, stored = mx.sym.load(str(path)), mx.nd.load(str(found[-1]))
        names = {name.partition(":")[2] for name in stored}
        inputs = [name for name in symbol.list_inputs() if name not in names]
        return mx.gluon.SymbolBlock.imports(str(path), inputs, str(found[-1]), mx.cpu())
    except Exception as error:
        raise CaptureError(f"{path} cannot be read as an MXNet model: {error}") from error


def given_inputs(block: Any, inputs: Any) -> dict[str, np.ndarray]:
    """Arrays by input name, random ones for shapes.

    Raises
    ------
    CaptureError
    """
    if inputs is None:
        raise CaptureError(
            f"the shape of an input of {type(block).__name__} is needed: "
            "spa.analyze(net, (1, 3, 224, 224))"
        )
    if is_shape(inputs) or not isinstance(inputs, Sequence):
        inputs = [inputs]
    rng = np.random.default_rng(0)
    arrays = []
    for at, value in enumerate(inputs):
        known = array_or_shape(str(at), as_numpy(value))
        if isinstance(known, tuple):
            known = rng.standard_normal(known).astype(np.float32)
        # As mx.nd.array does with what NumPy makes.
        arrays.append(known.astype(np.float32) if known.dtype == np.float64 else known)
    names = input_names(block, len(arrays))
    if len(names) != len(arrays):
        raise CaptureError(f"{len(arrays)} inputs were passed, the block has {names}")
    return dict(zip(names, arrays, strict=True))


def input_names(block: Any, count: int) -> list[str]:
    """What MXNet calls the inputs of a block."""
    if isinstance(block, mx.gluon.SymbolBlock):
        return [symbol.name for symbol in block._cached_graph[0]]
    return ["data"] if count == 1 else [f"data{at}" for at in range(count)]


def as_numpy(value: Any) -> Any:
    """The same with NumPy's arrays in place of MXNet's."""
    if isinstance(value, mx.nd.NDArray):
        return value.asnumpy()
    if isinstance(value, list | tuple) and not is_shape(value):
        return type(value)(as_numpy(part) for part in value)
    if isinstance(value, dict):
        return {name: as_numpy(part) for name, part in value.items()}
    return value


def batches(data: Any) -> Any:
    """Batches with NumPy's arrays in place of MXNet's."""
    if isinstance(data, mx.nd.NDArray | dict) or not isinstance(data, Iterable):
        return as_numpy(data)
    return [as_numpy(batch) for batch in data]
