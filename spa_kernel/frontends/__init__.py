"""From a framework's model to a backend: which front end reads it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from spa_kernel.errors import CaptureError
from spa_kernel.frontends.backend import Backend


def backend_for(model: Any) -> type[Backend]:
    """The backend for a model, told by its type; frameworks are imported only when used.

    Raises
    ------
    CaptureError
        Where no front end reads this kind of object.
    """
    # Before torch: on its torch backend a Keras model is a torch module too.
    if _is(model, "keras", "Model"):
        from spa_kernel.frontends.keras.backend import KerasBackend

        return KerasBackend
    if _is(model, "torch.nn", "Module"):
        from spa_kernel.frontends.torch.backend import TorchBackend

        return TorchBackend
    if _is(model, "onnx", "ModelProto") or isinstance(model, str | Path):
        from spa_kernel.frontends.onnx.backend import OnnxBackend

        return OnnxBackend
    if _is(model, "flax.nnx", "Module"):
        from spa_kernel.frontends.jax.backend import JaxBackend

        return JaxBackend
    raise CaptureError(
        f"{type(model).__module__}.{type(model).__name__} is not a model: pass a torch.nn.Module, "
        "a keras.Model, a flax.nnx.Module, an onnx.ModelProto or the path of an .onnx file"
    )


def _is(model: Any, module: str, name: str) -> bool:
    """Whether a model is of a class, without importing its framework."""
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and isinstance(model, known)
