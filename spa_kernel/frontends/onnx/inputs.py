"""Shapes of the model's inputs: from the model, from what the person passed, batch of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.examples import array_or_shape, is_shape

Given = dict[str, np.ndarray | tuple[int, ...]]
"""Arrays, or shapes alone, by input name."""


def input_infos(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller must feed (older models list their weights as inputs, too)."""
    stored = {t.name for t in model.graph.initializer}
    return [info for info in model.graph.input if info.name not in stored]


def given_inputs(model: onnx.ModelProto, inputs: Any) -> Given:
    """What the person passed, by input name.

    Parameters
    ----------
    inputs : None, shape, array, sequence of these, or dict of these by input name
    """
    infos = input_infos(model)
    names = [info.name for info in infos]
    if inputs is None:
        return {}
    if isinstance(inputs, Mapping):
        unknown = [name for name in inputs if name not in names]
        if unknown:
            raise CaptureError(f"the model has no input {unknown[0]!r}; its inputs are {names}")
        return {name: array_or_shape(name, value) for name, value in inputs.items()}
    if is_shape(inputs) or not isinstance(inputs, Sequence):
        inputs = [inputs]
    if len(inputs) > len(names):
        raise CaptureError(f"{len(inputs)} inputs were passed, the model has {names}")
    return {name: array_or_shape(name, value) for name, value in zip(names, inputs, strict=False)}


def input_shapes(model: onnx.ModelProto, given: Given) -> dict[str, tuple[int, ...]]:
    """A static shape for each input.

    An unknown first axis is taken as the batch and set to 1 where nothing was passed; any
    other unknown axis must be passed.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    symbols: dict[str, int] = {}
    infos = input_infos(model)
    for info in infos:
        value = given.get(info.name)
        if value is not None:
            shape = value.shape if isinstance(value, np.ndarray) else value
            declared = dims(info)
            if declared is not None and len(declared) != len(shape):
                raise CaptureError(
                    f"input {info.name!r} has {len(declared)} axes {declared}, not {shape}"
                )
            for here, n in zip(declared or [], shape, strict=False):
                if isinstance(here, str) and here:
                    symbols[here] = n
                elif isinstance(here, int) and here != n:
                    raise CaptureError(f"input {info.name!r} must have the shape {declared}")
            shapes[info.name] = tuple(int(n) for n in shape)
    for info in infos:
        declared = None if info.name in shapes else dims(info)
        if declared and isinstance(declared[0], str) and declared[0]:
            symbols.setdefault(declared[0], 1)
    for info in infos:
        if info.name in shapes:
            continue
        declared = dims(info)
        if declared is None:
            raise CaptureError(
                f"the model does not state the shape of input {info.name!r}: pass inputs="
                f"{{{info.name!r}: (1, ...)}}"
            )
        sizes = [n if isinstance(n, int) else symbols.get(n) for n in declared]
        if sizes and sizes[0] is None:
            sizes[0] = 1
        if None in sizes:
            raise CaptureError(
                f"input {info.name!r} has unknown axes {declared}: pass a shape, for example "
                f"inputs={{{info.name!r}: {tuple(n or 8 for n in sizes)}}}"
            )
        shapes[info.name] = tuple(n for n in sizes if n is not None)
    return shapes


def dims(info: onnx.ValueInfoProto) -> list[int | str] | None:
    """Sizes, names of unknown sizes (``""`` for a nameless one), ``None`` for an unknown rank."""
    kind = info.type.WhichOneof("value")
    if kind != "tensor_type":
        raise CaptureError(
            f"{info.name!r} is {str(kind or 'nothing').removesuffix('_type')}, not a tensor: only "
            "models whose inputs and outputs are tensors can be pruned"
        )
    elem = info.type.tensor_type.elem_type
    if elem not in onnx.TensorProto.DataType.values() or not elem:
        raise CaptureError(f"input {info.name!r} has an element type that does not exist: {elem}")
    if not info.type.tensor_type.HasField("shape"):
        return None
    return [
        # Some exporters write -1 for a size that is not known.
        dim.dim_value if dim.HasField("dim_value") and dim.dim_value != -1 else dim.dim_param
        for dim in info.type.tensor_type.shape.dim
    ]


def has_dynamic_axes(model: onnx.ModelProto) -> bool:
    """Whether some size is known only when the model runs."""
    return any(
        sizes is None or any(isinstance(n, str) for n in sizes)
        for sizes in map(dims, input_infos(model))
    )
