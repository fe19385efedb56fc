"""Primitives that call other jaxprs: written out in their place, or told as one operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from spa_kernel.frontends.jax.convert import Call, primitive
from spa_kernel.frontends.jax.elementwise import ENTRYWISE
from spa_kernel.frontends.jax.marks import ATTENTION, untitled
from spa_kernel.graph.ir import Value
from spa_kernel.graph.sizes import Dim, SizeUse

CALLS = (
    "jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call",
    "custom_vjp_call_jaxpr", "remat", "remat2", "checkpoint",
)  # fmt: skip
KNOWN = {
    "gelu": "Gelu", "silu": "Silu", "swish": "Silu", "elu": "Elu", "selu": "Selu", "celu": "Celu",
    "mish": "Mish", "hard_silu": "HardSwish", "soft_sign": "Softsign",
}  # fmt: skip
"""Names under which functions that are zero at zero are shown; any other is a `Function`."""
PLAIN = frozenset({"max", "min", "abs", "neg", "mul", "add", "sub", "copy", "stop_gradient"})
"""What is read as it stands, as more is known of it than that zero stays zero."""


def inner(params: dict[str, Any]) -> ClosedJaxpr | None:
    """The jaxpr that is called."""
    found = next((params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in params), None)
    if found is None or isinstance(found, ClosedJaxpr):
        return found
    return ClosedJaxpr(found, ())


@primitive(*CALLS)
def call_(call: Call) -> Any:
    closed = inner(call.params)
    if closed is None:
        return None
    name = str(call.params.get("name", ""))
    found = norm(call, name)
    if found is not None:
        return found
    if name == ATTENTION:
        return depths(call)
    function = zero_at_zero(call, closed)
    if function is not None:
        return call.emit(KNOWN.get(name, "Function"), (function,), numbers=numbers(call, closed))
    return call.captured.read(closed, call.operands)


def numbers(call: Call, closed: ClosedJaxpr) -> tuple[Any, ...]:
    """All numbers that a call takes or has inside; some may be worked out from sizes."""
    found = [call.number(i) for i in range(len(call.operands))]
    return (*found, *literals(closed))


def literals(closed: ClosedJaxpr) -> Iterator[Any]:
    """Numbers that are written in a jaxpr and in those that it calls."""
    yield from (np.asarray(c).item() for c in closed.consts if not np.shape(c))
    for eqn in closed.jaxpr.eqns:
        yield from (np.asarray(a.val).item() for a in eqn.invars if isinstance(a, Literal))
        called = inner(eqn.params)
        if called is not None:
            yield from literals(called)


def zero_at_zero(call: Call, closed: ClosedJaxpr) -> Value | None:
    """The one tensor of which a call computes a function, entry by entry, that keeps zeros."""
    values = [o for o in call.operands if isinstance(o, Value)]
    shapes = [tuple(v.aval.shape) for v in call.eqn.outvars]
    known = [o for o in call.operands if not isinstance(o, Value)]
    single = len(values) == 1 and shapes == [values[0].shape]
    if not single or any(o.size != 1 for o in known) or values[0].kind == "constant":
        return None
    entrywise, names = used(closed)
    if not entrywise or names <= PLAIN:
        return None
    point = [np.zeros((), o.dtype) if isinstance(o, Value) else o for o in call.operands]
    (result,) = at(closed, point)
    return values[0] if bool(np.asarray(result) == 0) else None


def used(closed: ClosedJaxpr) -> tuple[bool, set[str]]:
    """Whether all primitives work entry by entry, and their names."""
    names: set[str] = set()
    for eqn in closed.jaxpr.eqns:
        name = eqn.primitive.name
        if name in CALLS:
            called = inner(eqn.params)
            fine, further = (False, set()) if called is None else used(called)
            names |= further
        else:
            fine = name in ENTRYWISE or (
                name == "broadcast_in_dim" and not eqn.invars[0].aval.shape
            )
            names.add(name)
        if not fine:
            return False, names
    # A table that is written in the code differs from place to place.
    tables = any(np.shape(c) for c in closed.consts)
    literals = any(isinstance(a, Literal) and np.shape(a.val) for e in closed.jaxpr.eqns
                   for a in e.invars)  # fmt: skip
    return not tables and not literals, names


def at(closed: ClosedJaxpr, point: list[Any]) -> list[Any]:
    """A function of entries at one point."""
    env: dict[Any, Any] = dict(zip(closed.jaxpr.constvars, closed.consts, strict=True))
    env.update(zip(closed.jaxpr.invars, point, strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else env[atom]

    for eqn in closed.jaxpr.eqns:
        operands = [jax.numpy.asarray(read(a), dtype=a.aval.dtype) for a in eqn.invars]
        if eqn.primitive.name == "broadcast_in_dim":
            results = operands
        elif eqn.primitive.name in CALLS:
            called = inner(eqn.params)
            assert called is not None
            results = at(called, operands)
        else:
            made = eqn.primitive.bind(*operands, **eqn.params)
            results = made if eqn.primitive.multiple_results else [made]
        env.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in closed.jaxpr.outvars]


def depths(call: Call) -> Any:
    """Queries and values must stay equally deep, though not the same indices need stay."""
    query, value = call.value(0), call.value(1)
    if query.shape[-1] == value.shape[-1]:
        axis, other = (value, value.ndim - 1), (query, query.ndim - 1)
        where = "jax.nn.dot_product_attention, which wants values as deep as queries"
        expr = Dim(other, query.shape[-1])
        call.captured.graph.sizes.append(SizeUse(axis, expr, where))
    return [query, value]


def norm(call: Call, name: str) -> Any:
    """A norm of flax; the standard graph has the channels of a BatchNorm on axis 1."""
    marked = untitled(name, len(call.operands[0].shape)) if call.operands else None
    if marked is None:
        return None
    op, axis, names, epsilon = marked
    x = call.value(0)
    tensors = {n: call.value(i + 1) for i, n in enumerate(names)}
    if any(t.ndim != 1 for t in tensors.values()):
        # Under `vmap` each sample, or member of an ensemble, has a scale of its own.
        return None
    if op != "BatchNormalization":
        operands = (x, tensors.get("scale"), tensors.get("bias"))
        return call.emit(op, operands, numbers=(epsilon,), axis=axis, epsilon=epsilon)
    order = [0, axis, *(i for i in range(1, x.ndim) if i != axis)]
    if axis == 0:
        return None
    image = call.moved(x, order)
    rest = [tensors.get(n) for n in ("scale", "bias", "mean", "var")]
    out = call.one(op, (image, *rest), image.shape, epsilon=epsilon)
    return [call.moved(out, np.argsort(order))]
