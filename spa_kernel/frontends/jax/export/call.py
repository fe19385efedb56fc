"""The registry of primitives, and how an equation is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from spa_kernel.errors import SpaError
from spa_kernel.frontends.jax.export.sizes import Shape, merged
from spa_kernel.frontends.jax.export.tensors import Sheet, Tensor

if TYPE_CHECKING:
    from spa_kernel.frontends.jax.export.reading import Reading


@dataclass(slots=True)
class Call:
    """One equation of a jaxpr, and the same one in the trace of another batch."""

    reading: Reading
    eqn: Any
    twin: Any
    operands: list[Tensor]
    source: str

    @property
    def sheet(self) -> Sheet:
        return self.reading.sheet

    @property
    def name(self) -> str:
        return str(self.eqn.primitive.name)

    def param(self, key: str) -> Any:
        """A parameter, with a `Size` where the traces differ."""
        return merged(self.eqn.params.get(key), self.twin.params.get(key))

    def shape(self, slot: int) -> Shape:
        """The shape of an operand in the jaxpr."""
        return shape_of(self.eqn.invars[slot], self.twin.invars[slot])

    @property
    def out(self) -> Shape:
        return shape_of(self.eqn.outvars[0], self.twin.outvars[0])

    def outs(self) -> list[Shape]:
        """The shapes of all results."""
        pairs = zip(self.eqn.outvars, self.twin.outvars, strict=True)
        return [shape_of(*pair) for pair in pairs]

    @property
    def dtype(self) -> np.dtype[Any]:
        return np.dtype(self.eqn.outvars[0].aval.dtype)

    def x(self, slot: int = 0) -> Tensor:
        """An operand in the shape that it has in the jaxpr."""
        return self.sheet.expand(self.operands[slot], self.shape(slot))

    def node(self, op: str, inputs: Sequence[Tensor | None], **attrs: Any) -> list[Tensor]:
        """Add the operator that makes the equation's one result."""
        return [self.sheet.node(op, inputs, self.out, self.dtype, **attrs)]

    def refuse(self, why: str = "") -> SpaError:
        """That the model cannot be written, and because of which equation."""
        place = self.sheet.place or self.source
        at = f" in {place}" if place else ""
        at += f" ({self.source})" if self.source and self.source != place else ""
        return SpaError(
            f"{self.name}{at} cannot be written as ONNX{f': {why}' if why else ''}. Nothing was "
            "written"
        )


def shape_of(var: Any, twin: Any) -> Shape:
    shape: Shape = merged(tuple(var.aval.shape), tuple(twin.aval.shape))
    return shape


Handler = Callable[[Call], "list[Tensor] | None"]
HANDLERS: dict[str, Handler] = {}


def primitive(*names: str) -> Callable[[Handler], Handler]:
    """Register who writes primitives; it returns ``None`` for what it cannot write."""

    def register(handler: Handler) -> Handler:
        HANDLERS.update(dict.fromkeys(names, handler))
        return handler

    return register


def written(call: Call) -> list[Tensor]:
    """What an equation makes.

    Raises
    ------
    SpaError
        Nobody knows how to write it.
    """
    from spa_kernel.frontends.jax.export import (
        calls,
        elementwise,
        gathers,
        layers,
        loops,
        pools,
        reductions,
        shapes,
    )

    assert calls and elementwise and gathers and layers and loops and pools and reductions
    assert shapes
    handler = HANDLERS.get(call.name)
    made = None if handler is None else handler(call)
    if made is None:
        raise call.refuse()
    return made
