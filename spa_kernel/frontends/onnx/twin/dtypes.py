"""Element types and contents, from ONNX and numpy to torch."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch
from onnx import TensorProto

from spa_kernel.errors import UnsupportedOperator

TYPES: dict[int, torch.dtype] = {
    TensorProto.FLOAT: torch.float32,
    TensorProto.DOUBLE: torch.float64,
    TensorProto.FLOAT16: torch.float16,
    TensorProto.BFLOAT16: torch.bfloat16,
    TensorProto.BOOL: torch.bool,
    TensorProto.UINT8: torch.uint8,
    TensorProto.INT8: torch.int8,
    TensorProto.INT16: torch.int16,
    TensorProto.INT32: torch.int32,
    TensorProto.INT64: torch.int64,
}


def torch_type(elem: int, single: torch.dtype = torch.float32) -> torch.dtype:
    """The torch type of an ONNX element type; ``single`` stands for single precision.

    Raises
    ------
    UnsupportedOperator
    """
    if elem not in TYPES:
        name = TensorProto.DataType.Name(elem) if elem in TensorProto.DataType.values() else elem
        raise UnsupportedOperator(f"torch does not calculate with numbers of the type {name}")
    return single if elem == TensorProto.FLOAT else TYPES[elem]


def to_tensor(array: np.ndarray) -> torch.Tensor:
    """A tensor of its own memory.

    Raises
    ------
    UnsupportedOperator
    """
    if array.dtype == ml_dtypes.bfloat16:
        return torch.tensor(array.view(np.int16)).view(torch.bfloat16)
    try:
        return torch.tensor(array)
    except TypeError as error:
        raise UnsupportedOperator(
            f"torch does not calculate with numbers of the type {array.dtype}"
        ) from error


def to_array(tensor: torch.Tensor) -> np.ndarray:
    """The content of a tensor."""
    tensor = tensor.detach().cpu()
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    array: np.ndarray = tensor.numpy()
    return array
