"""Linen modules that take their sizes from the variables they are given.

Sizes are written in a module (``nn.Dense(features=64)``), and flax compares them with the shapes
of the variables. An interceptor, through which flax calls the methods of modules, lets every module
accept what is there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from flax import linen as nn
from flax.core import meta, unfreeze
from flax.traverse_util import flatten_dict

Path = tuple[str, ...]


def widths(params: Any) -> dict[Path, int]:
    """By path of a module, how many channels it scales or shifts."""
    return {
        path[:-1]: np.shape(array)[-1]
        for path, array in flatten_dict(unfreeze(meta.unbox(params))).items()
        if path[-1] in ("scale", "bias") and np.ndim(array)
    }


def fitted(
    known: Mapping[Path, int], call: Callable[..., Any], args: Any, kwargs: Any, context: Any
) -> Any:
    """Call a method of a module that fits its variables; for `flax.linen.intercept_methods`.

    Parameters
    ----------
    known : mapping
        What `widths` found in variables that have the sizes that are written in the module.
    call, args, kwargs, context
        As flax passes them.
    """
    module: Any = context.module
    # Modules that are called are bound to variables, and live no longer than the outermost call.
    if module.scope is not None:
        if "param" not in vars(module):
            object.__setattr__(module, "param", partial(param, module))
        x = args[0] if args else kwargs.get("inputs")
        for name, true in sizes(module, x, known):
            object.__setattr__(module, name, true)
    return call(*args, **kwargs)


def held(module: Any, *path: str) -> tuple[int, ...] | None:
    """The shape of a parameter of a module that is bound to variables."""
    found: Any = module.scope.get_variable("params", path[0]) if module.scope else None
    for name in path[1:]:
        found = None if found is None else found.get(name)
    return None if found is None else tuple(np.shape(meta.unbox(found)))


def param(module: Any, name: str, init: Any, *args: Any, **kwargs: Any) -> Any:
    """``module.param``, which takes an array of another shape as well."""
    scope = module.scope
    if scope is None or not scope.has_variable("params", name):
        return type(module).param(module, name, init, *args, **kwargs)
    present = scope.get_variable("params", name)
    unbox = kwargs.get("unbox", True)
    return type(module).param(
        module, name, lambda key: meta.unbox(present) if unbox else present, unbox=unbox
    )


def sizes(module: Any, x: Any, known: Mapping[Path, int]) -> Iterator[tuple[str, Any]]:
    """Names and true values of attributes that a layer of flax computes with."""
    kernel = held(module, "kernel")
    if isinstance(module, nn.DenseGeneral) and kernel:
        wide = module.features
        yield "features", kernel[-1] if isinstance(wide, int) else kernel[-len(wide) :]
    elif isinstance(module, nn.Dense) and kernel:
        yield "features", kernel[-1]
    elif isinstance(module, nn.ConvTranspose) and kernel:
        yield "features", kernel[-2 if module.transpose_kernel else -1]
    elif isinstance(module, nn.Conv | nn.ConvLocal) and kernel:
        yield "features", kernel[-1]
        if module.feature_group_count > 1 and x is not None:
            yield "feature_group_count", x.shape[-1] // kernel[-2]
    elif isinstance(module, nn.Einsum) and kernel:
        yield "shape", kernel
    elif isinstance(module, nn.Embed) and (table := held(module, "embedding")):
        yield from zip(("num_embeddings", "features"), table[-2:], strict=True)
    elif isinstance(module, nn.MultiHeadDotProductAttention):
        query = held(module, "query", "kernel")
        if query:
            yield "num_heads", query[-2]
            yield "qkv_features", query[-2] * query[-1]
    elif isinstance(module, nn.GroupNorm) and module.num_groups and module.path in known:
        yield "group_size", known[module.path] // module.num_groups
        yield "num_groups", None
