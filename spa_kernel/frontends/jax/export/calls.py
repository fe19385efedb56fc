"""Primitives that call other jaxprs: written in their place, or as one operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr

from spa_kernel.frontends.jax.calls import CALLS, inner
from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.tensors import Tensor, constant
from spa_kernel.frontends.jax.marks import untitled


@primitive(*CALLS)
def call_(call: Call) -> list[Tensor] | None:
    closed, twin = inner(call.eqn.params), inner(call.twin.params)
    if closed is None or twin is None:
        return None
    name = str(call.eqn.params.get("name", ""))
    found = norm(call, name)
    return call.reading.read(closed, twin, call.operands) if found is None else found


def norm(call: Call, name: str) -> list[Tensor] | None:
    """A norm of flax as the operator that it is; ``None``: as it is written out."""
    marked = untitled(name, len(call.operands[0].shape)) if call.operands else None
    if marked is None:
        return None
    (op, axis, names, epsilon), x = marked, call.x()
    tensors = dict(zip(names, call.operands[1:], strict=True))
    if any(t.dtype != np.float32 for t in (x, *tensors.values())) or call.dtype != np.float32:
        return None
    count = x.shape[axis]
    scale = tensors.get("scale") or constant(np.ones(int(count), np.float32))
    bias = tensors.get("bias") or constant(np.zeros(int(count), np.float32))
    if op == "LayerNormalization":
        return call.node(op, (x, scale, bias), axis=axis, epsilon=epsilon)
    if op == "RMSNormalization" and "bias" not in tensors:
        return call.node(op, (x, scale), axis=axis, epsilon=epsilon)
    if op != "BatchNormalization" or axis == 0:
        return None
    order = [0, axis, *(i for i in range(1, x.ndim) if i != axis)]
    image = call.sheet.transpose(x, order)
    operands = (image, scale, bias, tensors["mean"], tensors["var"])
    out = call.sheet.node(op, operands, image.shape, epsilon=epsilon)
    return [call.sheet.transpose(out, np.argsort(order))]


def closed_pair(call: Call, key: str) -> list[tuple[ClosedJaxpr, ClosedJaxpr]]:
    """Jaxprs among the parameters, in both traces."""
    first, second = call.eqn.params[key], call.twin.params[key]
    several = isinstance(first, tuple | list)
    pairs: list[Any] = list(zip(first, second, strict=True)) if several else [(first, second)]
    return pairs
