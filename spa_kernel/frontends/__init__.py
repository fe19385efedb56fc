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
    if _is(model, "keras", "Model") or (is_path(model) and str(model).endswith(".keras")):
        from spa_kernel.frontends.keras.backend import KerasBackend

        return KerasBackend
    if _is(model, "torch.nn", "Module"):
        from spa_kernel.frontends.torch.backend import TorchBackend

        return TorchBackend
    saved = isinstance(model, str | Path) and str(model).endswith("-symbol.json")
    if saved or _is(model, "mxnet.gluon", "Block"):
        from spa_kernel.frontends.mxnet.backend import GluonBackend

        return GluonBackend
    folder = is_path(model) and (Path(model) / "saved_model.pb").is_file()
    saved = hasattr(model, "signatures") and type(model).__module__.startswith("tensorflow.")
    if folder or saved or _is(model, "tensorflow", "Module"):
        from spa_kernel.frontends.tensorflow.backend import TensorFlowBackend

        return TensorFlowBackend
    if _is(model, "onnx", "ModelProto") or is_path(model):
        from spa_kernel.frontends.onnx.backend import OnnxBackend

        return OnnxBackend
    if (
        _is(model, "flax.nnx", "Module")
        or _is(model, "spa_kernel.frontends.jax.functions", "Functional")
        or is_pair(model)
    ):
        from spa_kernel.frontends.jax.backend import JaxBackend

        return JaxBackend
    if _is(model, "flax.linen", "Module"):
        raise CaptureError(
            "a Flax Linen module has no parameters of its own: pass (module, variables), with "
            "the variables that module.init returned or that were trained"
        )
    raise CaptureError(
        f"{type(model).__module__}.{type(model).__name__} is not a model: pass a torch.nn.Module, "
        "a keras.Model, a flax.nnx.Module, a tuple (Linen module, variables) or (function, "
        "parameters) of JAX, a tf.Module, a Gluon block of MXNet, an onnx.ModelProto, or the path "
        "of an .onnx, .keras or -symbol.json file or of a SavedModel"
    )


def is_path(value: Any) -> bool:
    return isinstance(value, str | Path)


def is_pair(value: Any) -> bool:
    """Whether something is a tuple of a function or Linen module of JAX and its parameters."""
    jax = sys.modules.get("jax")
    if jax is None or type(value) is not tuple or len(value) != 2:
        return False
    apply, params = value
    holder = any(_is(apply, *kind) for kind in HOLDERS)
    if holder or not (callable(apply) or _is(apply, "flax.linen", "Module")):
        return False
    # One array alone is rather an input than a tree of parameters.
    leaves = [] if hasattr(params, "shape") else jax.tree.leaves(params)
    return any(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves)


HOLDERS = (("keras", "Model"), ("torch.nn", "Module"), ("flax.nnx", "Module"))
"""Models that hold their own parameters, and can be called."""


def _is(model: Any, module: str, name: str) -> bool:
    """Whether a model is of a class, without importing its framework."""
    known = getattr(sys.modules.get(module), name, None)
    return known is not None and isinstance(model, known)
