"""Large models on disk: a file for the network, and one beside it for its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

LARGE = 2**30
"""Bytes of weights; to write a file in one piece takes twice its size in memory."""
SMALL = 2**10
"""Bytes of tensors that stay with the network."""
STEP = 64
"""Weights begin at a multiple of so many bytes."""


def is_large(model: onnx.ModelProto) -> bool:
    return sum(tensor.ByteSize() for tensor in model.graph.initializer) >= LARGE


def save_beside(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, and its weights beside it, without a copy of more than one of them."""
    light = without_weights(model)
    beside = path.with_name(f"{path.name}.data")
    with beside.open("wb") as file:
        for tensor in model.graph.initializer:
            new = light.graph.initializer.add()
            if len(tensor.raw_data) < SMALL:
                new.CopyFrom(tensor)
                continue
            new.CopyFrom(all_but(tensor, "raw_data"))
            del new.external_data[:]
            new.data_location = TensorProto.EXTERNAL
            file.write(bytes(-file.tell() % STEP))
            start = file.tell()
            file.write(tensor.raw_data)
            place = {"location": beside.name, "offset": start, "length": file.tell() - start}
            for key, value in place.items():
                new.external_data.add(key=key, value=str(value))
    onnx.save_model(light, str(path))


def without_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """A copy of everything but the initializers."""
    light = all_but(model, "graph")
    light.graph.CopyFrom(all_but(model.graph, "initializer"))
    return light


def all_but(message: Any, without: str) -> Any:
    """A copy of a message without one of its fields."""
    new = type(message)()
    for field, value in message.ListFields():
        if field.name == without:
            continue
        if field.message_type is None and not field.is_repeated:
            setattr(new, field.name, value)
        else:
            getattr(new, field.name).MergeFrom(value)
    return new
