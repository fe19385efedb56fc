"""Models in the notebook's variables that could be analysed; no framework is imported for this."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

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
            "kind": type(model).__name__,
            "framework": framework,
            "params": parameters(model, framework),
            "analysed": id(model) in analysed,
            "input": framework in ("torch", "jax") and id(model) not in analysed,
        }
        for key, value in row.items():
            columns[key].append(value)
    return columns


CLASSES = {
    "keras": "keras.src.models.model.Model",
    "torch": "torch.nn.modules.module.Module",
    "jax": "flax.nnx.module.Module",
}
"""By framework the class that its models derive from, told without importing it."""


def framework_of(model: Any) -> str:
    """``"torch"``, ``"onnx"``, ``"keras"``, ``"jax"`` or ``"other"``."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    # On its torch backend a Keras model is a torch module too.
    for framework, name in CLASSES.items():
        if name in names:
            return framework
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
