"""Models without their weights, which lie beside them: protocol buffers end at 2 GiB."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile, ZipInfo

import onnx
from onnx import TensorProto

LARGE = 2**30
"""Bytes of weights; to write a file in one piece takes twice its size in memory."""
SMALL = 2**10
"""Tensors of fewer bytes stay with the network."""
STEP = 64
"""Weights begin at a multiple of so many bytes."""
NETWORK = "network"


def is_large(model: onnx.ModelProto) -> bool:
    return sum(tensor.ByteSize() for tensor in model.graph.initializer) >= LARGE


def save_beside(model: onnx.ModelProto, path: Path) -> None:
    """Write a model, and its weights beside it, without a copy of more than one of them."""
    light, heavy = split(model)
    beside = path.with_name(f"{path.name}.data")
    with beside.open("wb") as file:
        for index, tensor in heavy.items():
            new = light.graph.initializer[index]
            del new.external_data[:]
            new.data_location = TensorProto.EXTERNAL
            file.write(bytes(-file.tell() % STEP))
            start = file.tell()
            file.write(tensor.raw_data)
            place = {"location": beside.name, "offset": start, "length": file.tell() - start}
            for key, value in place.items():
                new.external_data.add(key=key, value=str(value))
    onnx.save_model(light, str(path))


def packed(model: onnx.ModelProto) -> bytes:
    """A model in one piece, however large: an archive of the network and of each weight."""
    light, heavy = split(model)
    file = BytesIO()
    with ZipFile(file, "w") as archive:
        # Without the time of day: equal models are packed alike.
        archive.writestr(ZipInfo(NETWORK), light.SerializeToString())
        for index, tensor in heavy.items():
            archive.writestr(ZipInfo(str(index)), tensor.raw_data)
    return file.getvalue()


def unpacked(content: bytes) -> tuple[onnx.ModelProto, Iterator[tuple[int, bytes]]]:
    """What `packed` was given: the network, and one after the other its weights by their number."""
    archive = ZipFile(BytesIO(content))
    weights = ((int(n), archive.read(n)) for n in archive.namelist() if n != NETWORK)
    return onnx.ModelProto.FromString(archive.read(NETWORK)), weights


def split(model: onnx.ModelProto) -> tuple[onnx.ModelProto, dict[int, TensorProto]]:
    """A copy without the content of large initializers, and these by their number."""
    light, heavy = without_weights(model), {}
    for index, tensor in enumerate(model.graph.initializer):
        large = len(tensor.raw_data) >= SMALL
        light.graph.initializer.append(all_but(tensor, "raw_data") if large else tensor)
        if large:
            heavy[index] = tensor
    return light, heavy


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
