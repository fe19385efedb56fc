"""Loops of a known length, written out, and choices."""

from __future__ import annotations

import numpy as np

from spa_kernel.frontends.jax.export.call import Call, primitive
from spa_kernel.frontends.jax.export.calls import closed_pair
from spa_kernel.frontends.jax.export.elementwise import step
from spa_kernel.frontends.jax.export.sizes import Shape, broadcast
from spa_kernel.frontends.jax.export.tensors import LONG, Tensor, constant

LONGEST = 128
"""Steps up to which a loop is written out."""


@primitive("scan")
def scan(call: Call) -> list[Tensor]:
    length = int(call.param("length"))
    if length > LONGEST:
        raise call.refuse(f"a loop of {length} steps is not written out")
    ((closed, twin),) = closed_pair(call, "jaxpr")
    kept, carried = int(call.param("num_consts")), int(call.param("num_carry"))
    operands = [call.x(i) for i in range(len(call.operands))]
    consts, state, rows = operands[:kept], operands[kept:][:carried], operands[kept + carried :]
    made: list[list[Tensor]] = []
    steps = range(length)
    for i in reversed(steps) if call.param("reverse") else steps:
        results = call.reading.read(
            closed, twin, [*consts, *state, *(row(call, t, i) for t in rows)]
        )
        state = results[:carried]
        made.append(results[carried:])
    if call.param("reverse"):
        made.reverse()
    outs = call.outs()
    stacked = [
        stack(call, [step_[j] for step_ in made], outs[carried + j])
        for j in range(len(outs) - carried)
    ]
    return [*state, *stacked]


def row(call: Call, x: Tensor, i: int) -> Tensor:
    if x.array is not None:
        return constant(x.array[i])
    return call.sheet.node("Gather", (x, constant(i, LONG)), x.shape[1:], axis=0)


def stack(call: Call, parts: list[Tensor], shape: Shape) -> Tensor:
    whole: Shape = (1, *shape[1:])
    parts = [call.sheet.reshape(call.sheet.expand(t, shape[1:]), whole) for t in parts]
    return call.sheet.node("Concat", parts, shape, axis=0)


@primitive("cond")
def cond(call: Call) -> list[Tensor]:
    """Both ways are computed, and one is taken."""
    which, *operands = call.operands
    branches = closed_pair(call, "branches")
    if which.number is not None:
        chosen = int(np.clip(which.number, 0, len(branches) - 1))
        return call.reading.read(*branches[chosen], operands)
    *others, found = [call.reading.read(*pair, operands) for pair in branches]
    for i, case in reversed(list(enumerate(others))):
        here = step(call, "LessOrEqual", which, i, dtype=bool)
        found = [
            call.sheet.node("Where", (here, a, b), broadcast(a.shape, b.shape), a.dtype)
            for a, b in zip(case, found, strict=True)
        ]
    return found
