"""What a subclassed model calls, as a functional model."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import keras
from keras.src.models.functional import Functional


class Traced(Functional):
    """The layers that a subclassed model calls, as a functional model of the same layers.

    What is written in `call` with sizes is there as numbers; to run it is to run the model itself.
    """

    source: Any
    """The subclassed model."""
    names: dict[int, str]
    """Where operations stand in it, by identity."""
    short: dict[int, str]
    """A name for each operation that no other has."""
    own: dict[str, Any]
    """Variables that are no layer's that is in the graph."""
    late: Functional | None
    """What is called in training, where that is not the same."""
    keys: list[str] | None
    """Names of the inputs, where they come in a dictionary."""

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        args, kwargs = packed(self.source, list(keras.tree.flatten(inputs)), self.keys)
        return flat(self.source(*args, training=training, **kwargs))

    def steps(self, inputs: list[Any]) -> list[Any]:
        """What the layers give, called one after the other as was noted."""
        return flat(super().__call__(inputs, training=False))


def stages(outer: Any) -> list[Any]:
    """A model's graph of layers, and that of what it calls in training alone, if there is any."""
    late = outer.late if isinstance(outer, Traced) else None
    return [outer] if late is None else [outer, late]


def packed(
    model: Any, tensors: list[Any], keys: list[str] | None
) -> tuple[list[Any], dict[str, Any]]:
    """Inputs as the model's `call` takes them."""
    known = parameters(model)
    if keys is not None:
        given = dict(zip(keys, tensors, strict=True))
        return ([], given) if given.keys() <= known.keys() else ([given], {})
    empty, many = inspect.Parameter.empty, inspect.Parameter.VAR_POSITIONAL
    needed = [p for name, p in known.items() if p.default is empty and name != "mask"]
    single = len(needed) <= 1 and not any(p.kind is many for p in needed)
    return ([tensors] if single and len(tensors) > 1 else tensors), {}


def parameters(layer: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(layer.call).parameters


def flat(tree: Any) -> list[Any]:
    """Tensors of a structure."""
    return [leaf for leaf in keras.tree.flatten(tree) if leaf is not None]
