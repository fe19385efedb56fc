"""Models in the notebook's variables that could be analysed; no framework is imported for this."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from spa_kernel.frontends import is_pair

if TYPE_CHECKING:
    from spa_kernel.magics.names import Names


def candidates(names: Names) -> dict[str, list[Any]]:
    """The columns of ``Candidates`` of the schema.

    Reads nothing but sizes, so that it may be called on any thread, also while a model is pruned.
    """
    analysed = {id(session.model) for session in names.sessions().values()}
    columns: dict[str, list[Any]] = {
        key: [] for key in ("name", "kind", "framework", "params", "analysed", "input")
    }
    for name, model in names.named_models():
        framework = framework_of(model)
        row = {
            "name": name,
            "kind": kind_of(model),
            "framework": framework,
            "params": parameters(model, framework),
            "analysed": id(model) in analysed,
            "input": framework in ("torch", "jax", "mxnet") and id(model) not in analysed,
        }
        for key, value in row.items():
            columns[key].append(value)
    return columns


def kind_of(model: Any) -> str:
    """What kind of model it is, or what the function is called that has the parameters."""
    named = model[0] if is_pair(model) else model
    return str(getattr(named, "__name__", type(named).__name__))


CLASSES = {
    "keras.src.models.model.Model": "keras",
    "torch.nn.modules.module.Module": "torch",
    "mxnet.gluon.block.Block": "mxnet",
    "flax.nnx.module.Module": "jax",
    "spa_kernel.frontends.jax.functions.Functional": "jax",
}
"""Frameworks by the class that their models derive from, told without importing it."""


def framework_of(model: Any) -> str:
    """``"torch"``, ``"onnx"``, ``"keras"``, ``"jax"``, ``"mxnet"`` or ``"other"``."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    # On its torch backend a Keras model is a torch module too.
    for name, framework in CLASSES.items():
        if name in names:
            return framework
    if is_pair(model):
        return "jax"
    return "onnx" if type(model).__name__ == "ModelProto" else "other"


def parameters(model: Any, framework: str) -> int | None:
    """How many parameters a model has; ``None`` where that cannot be said (yet)."""
    try:
        if framework == "torch":
            return sum(parameter.numel() for parameter in model.parameters())
        if framework == "onnx":
            return sum(prod(tensor.dims) for tensor in model.graph.initializer)
    except Exception:
        # Lazy modules have no sizes yet, and a cell may be changing the model right now.
        return None
    return None
